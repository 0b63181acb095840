// Python binding of the quantisers.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "quantize/quantize.h"

namespace nb = nanobind;

namespace ostinato::quantize {
namespace {

using Input = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Output = nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

std::span<const Level* const> all_levels() {
  int count = 0;
  const Level* const* found = levels(&count);
  return {found, static_cast<size_t>(count)};
}

std::vector<std::string> level_names() {
  std::vector<std::string> names;
  for (const Level* level : all_levels()) names.emplace_back(level->name);
  return names;
}

std::vector<int> targets() {
  const Level& level = *all_levels().front();
  std::vector<int> types;
  for (int i = 0; i < level.count; ++i) types.push_back(static_cast<int>(level.encoders[i].type));
  return types;
}

const Level& named(const std::string& name) {
  for (const Level* level : all_levels())
    if (name.empty() || name == level->name) return *level;
  throw nb::value_error("no such instruction level on this machine");
}

// The number of values, once everything is seen to fit together.
int64_t checked_count(const Input& source, TensorType type, const Encoder* encoder, const Output& out) {
  if (!readable(type)) throw nb::value_error("values are read from F32, F16 and BF16 only");
  if (encoder == nullptr) throw nb::value_error("no encoder for this type");
  const BlockShape from = block_shape(type), to = block_shape(encoder->type);
  const auto count = static_cast<int64_t>(source.size()) / from.bytes;
  if (count * from.bytes != static_cast<int64_t>(source.size()) || count % to.elements != 0)
    throw nb::value_error("the source does not hold whole blocks");
  if (count / to.elements * to.bytes != static_cast<int64_t>(out.size()))
    throw nb::value_error("the output does not have the size of the encoded values");
  return count;
}

int64_t py_encode(Input source, int source_type, int target, Output out, int threads,
                  const std::string& level) {
  const auto type = static_cast<TensorType>(source_type);
  const Encoder* encoder = find_encoder(named(level), static_cast<TensorType>(target));
  const int64_t count = checked_count(source, type, encoder, out);
  const nb::gil_scoped_release unlocked;
  return encode({type, source.data()}, count, *encoder, threads, out.data());
}

}  // namespace
}  // namespace ostinato::quantize

NB_MODULE(_quantize, m) {
  m.doc() = "Quantisers of tensors.";
  m.def("levels", &ostinato::quantize::level_names, "Instruction levels of this machine, the best first.");
  m.def("targets", &ostinato::quantize::targets, "Types that values can be encoded to.");
  m.def(
      "encode", &ostinato::quantize::py_encode, nb::arg("source"), nb::arg("source_type"), nb::arg("target"),
      nb::arg("out"), nb::arg("threads"), nb::arg("level") = "",
      "Encode values (F32, F16 or BF16): -1, or the first value of the first block that cannot be encoded.");
}
