// The Python module _tokenizer: one call each way, no Python objects in between, the GIL released meanwhile.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <optional>
#include <stdexcept>

#include "tokenizer/decode.h"
#include "tokenizer/tokenizer.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ostinato::tokenizer {
namespace {

struct TokenizerError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void require(const Status& status) {
  if (!status.ok()) throw TokenizerError(status.problem);
}

// A Python object's bytes, for as long as this lives.
class Buffer {
 public:
  explicit Buffer(nb::handle object) {
    if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) throw nb::python_error();
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { PyBuffer_Release(&view_); }

  std::string_view bytes() const {
    return {static_cast<const char*>(view_.buf), static_cast<size_t>(view_.len)};
  }

 private:
  Py_buffer view_;
};

// An array argument: (buffer, count), or None.
class ArrayArgument {
 public:
  explicit ArrayArgument(const std::optional<nb::tuple>& pair) {
    if (!pair) return;
    if (nb::len(*pair) != 2) throw TokenizerError("an array is a pair (buffer, count)");
    buffer_.emplace((*pair)[0]);
    raw_ = {buffer_->bytes(), nb::cast<uint64_t>((*pair)[1]), true};
  }
  const RawArray& raw() const { return raw_; }

 private:
  std::optional<Buffer> buffer_;
  RawArray raw_;
};

using Array = std::optional<nb::tuple>;

std::unique_ptr<Tokenizer> build(std::string_view model, std::string_view pre, std::string_view name,
                                 std::string_view architecture, const nb::tuple& tokens, const Array& merges,
                                 const Array& scores, const Array& types, const Array& charsmap, int64_t bos,
                                 int64_t eos, int64_t eot, int64_t eom, int64_t unknown, int64_t separator,
                                 int64_t add_bos, int64_t add_eos, int64_t add_space_prefix,
                                 int64_t remove_extra_whitespaces, int64_t lowercase, int64_t strip_accents) {
  const ArrayArgument tokens_in(tokens), merges_in(merges), scores_in(scores), types_in(types),
      charsmap_in(charsmap);
  const Source source{.model = model,
                      .pre = pre,
                      .name = name,
                      .architecture = architecture,
                      .tokens = tokens_in.raw(),
                      .merges = merges_in.raw(),
                      .scores = scores_in.raw(),
                      .types = types_in.raw(),
                      .charsmap = charsmap_in.raw(),
                      .bos = bos,
                      .eos = eos,
                      .eot = eot,
                      .eom = eom,
                      .unknown = unknown,
                      .separator = separator,
                      .add_bos = add_bos,
                      .add_eos = add_eos,
                      .add_space_prefix = add_space_prefix,
                      .remove_extra_whitespaces = remove_extra_whitespaces,
                      .lowercase = lowercase,
                      .strip_accents = strip_accents};
  auto tokenizer = std::make_unique<Tokenizer>();
  Status status;
  {
    nb::gil_scoped_release release;
    status = tokenizer->build(source);
  }
  require(status);
  return tokenizer;
}

std::vector<int32_t> encode(const Tokenizer& tokenizer, nb::bytes text, bool add_special,
                            bool parse_special) {
  const std::string_view view(text.c_str(), text.size());  // `text` keeps the bytes, and bytes do not change
  std::vector<int32_t> ids;
  Status status;
  {
    nb::gil_scoped_release release;
    status = tokenizer.encode(view, add_special, parse_special, ids);
  }
  require(status);
  return ids;
}

using IdArray = nb::ndarray<nb::numpy, int32_t, nb::ndim<1>>;

IdArray encode_array(const Tokenizer& tokenizer, nb::bytes text, bool add_special, bool parse_special) {
  auto* ids = new std::vector<int32_t>(encode(tokenizer, text, add_special, parse_special));
  nb::capsule owner(ids, [](void* pointer) noexcept { delete static_cast<std::vector<int32_t>*>(pointer); });
  return IdArray(ids->data(), {ids->size()}, owner);
}

using PythonIds = std::vector<int64_t>;

// Ids as the tokenizer has them; what does not fit 32 bits is no id either.
std::vector<int32_t> checked(const Tokenizer& tokenizer, const PythonIds& given) {
  std::vector<int32_t> ids(given.size());
  for (size_t i = 0; i < given.size(); ++i) {
    if (!tokenizer.vocab().contains(given[i])) throw TokenizerError(tokenizer.bad_id(given[i], i));
    ids[i] = static_cast<int32_t>(given[i]);
  }
  return ids;
}

int32_t checked(const Tokenizer& tokenizer, int64_t id) { return checked(tokenizer, PythonIds{id})[0]; }

nb::str to_str(const std::string& text) { return nb::str(text.data(), text.size()); }

nb::str decode_text(const Tokenizer& tokenizer, const PythonIds& given, bool skip_special, bool continued) {
  const std::vector<int32_t> ids = checked(tokenizer, given);
  std::string text;
  {
    nb::gil_scoped_release release;
    text = decode(tokenizer, ids, {skip_special, continued});
  }
  return to_str(text);
}

nb::bytes decode_to_bytes(const Tokenizer& tokenizer, const PythonIds& given, bool skip_special,
                          bool continued) {
  const std::string bytes = decode_bytes(tokenizer, checked(tokenizer, given), {skip_special, continued});
  return nb::bytes(bytes.data(), bytes.size());
}

nb::bytes token_bytes(const Tokenizer& tokenizer, int64_t id) {
  std::string bytes;
  tokenizer.append_bytes(checked(tokenizer, id), bytes);
  return nb::bytes(bytes.data(), bytes.size());
}

// A StreamDecoder that refuses ids which are none.
class Stream {
 public:
  Stream(const Tokenizer& tokenizer, bool skip_special, bool continued)
      : tokenizer_(tokenizer), decoder_(tokenizer, {skip_special, continued}) {}

  nb::str push(int64_t id) {
    std::string text;
    decoder_.push(checked(tokenizer_, id), text);
    return to_str(text);
  }
  nb::str flush() {
    std::string text;
    decoder_.flush(text);
    return to_str(text);
  }

 private:
  const Tokenizer& tokenizer_;
  StreamDecoder decoder_;
};

template <int32_t Specials::* Id>
int32_t special(const Tokenizer& tokenizer) {
  return tokenizer.specials().*Id;
}

template <bool Specials::* Switch>
bool special_switch(const Tokenizer& tokenizer) {
  return tokenizer.specials().*Switch;
}

}  // namespace

NB_MODULE(_tokenizer, module) {
  nb::exception<TokenizerError>(module, "TokenizerError", PyExc_ValueError);

  nb::class_<Tokenizer>(module, "Tokenizer")
      .def(nb::new_(&build), nb::kw_only(), "model"_a, "pre"_a, "name"_a, "architecture"_a = "", "tokens"_a,
           "merges"_a = nb::none(), "scores"_a = nb::none(), "types"_a = nb::none(),
           "charsmap"_a = nb::none(), "bos"_a = kAbsent, "eos"_a = kAbsent, "eot"_a = kAbsent,
           "eom"_a = kAbsent, "unknown"_a = kAbsent, "separator"_a = kAbsent, "add_bos"_a = kAbsent,
           "add_eos"_a = kAbsent, "add_space_prefix"_a = kAbsent, "remove_extra_whitespaces"_a = kAbsent,
           "lowercase"_a = kAbsent, "strip_accents"_a = kAbsent)
      .def("encode", &encode, "text"_a, "add_special"_a, "parse_special"_a)
      .def("encode_array", &encode_array, "text"_a, "add_special"_a, "parse_special"_a)
      .def("decode", &decode_text, "ids"_a, "skip_special"_a, "continued"_a)
      .def("decode_bytes", &decode_to_bytes, "ids"_a, "skip_special"_a, "continued"_a)
      .def("token_bytes", &token_bytes, "id"_a)
      .def(
          "is_control",
          [](const Tokenizer& tokenizer, int64_t id) { return tokenizer.is_control(checked(tokenizer, id)); },
          "id"_a)
      .def_prop_ro("vocab_size", [](const Tokenizer& tokenizer) { return tokenizer.vocab().size(); })
      .def_prop_ro("stop", [](const Tokenizer& tokenizer) { return tokenizer.specials().stop; })
      .def_prop_ro("bos", &special<&Specials::bos>)
      .def_prop_ro("eos", &special<&Specials::eos>)
      .def_prop_ro("eot", &special<&Specials::eot>)
      .def_prop_ro("eom", &special<&Specials::eom>)
      .def_prop_ro("unknown", &special<&Specials::unknown>)
      .def_prop_ro("separator", &special<&Specials::separator>)
      .def_prop_ro("add_bos", &special_switch<&Specials::add_bos>)
      .def_prop_ro("add_eos", &special_switch<&Specials::add_eos>)
      .def_prop_ro("add_space_prefix", &special_switch<&Specials::add_space_prefix>);

  nb::class_<Stream>(module, "StreamDecoder")
      .def(nb::init<const Tokenizer&, bool, bool>(), "tokenizer"_a, "skip_special"_a, "continued"_a,
           nb::keep_alive<1, 2>())
      .def("push", &Stream::push, "id"_a, "The text that this id completes: whole characters, possibly none.")
      .def("flush", &Stream::flush, "What is left at the end: U+FFFD for half a character, or nothing.");
}

}  // namespace ostinato::tokenizer
