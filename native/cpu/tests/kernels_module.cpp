// The kernels of one instruction level as Python functions on raw arrays, for tests and benchmarks.
//
// Sizes are the caller's duty, as they are the executor's: nothing is checked here.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <atomic>
#include <string>

#include "cpu/kernels.h"
#include "cpu/ranges.h"
#include "cpu/tests/tiles.h"
#include "joined.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace ostinato;

namespace {

using Bytes = nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Floats = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

const cpu::Kernels* find(const std::string& name) {
#ifdef OSTINATO_X86
  if (name == "amx-emulated") return cpu::emulated_amx();
#endif
  for (cpu::Isa isa : cpu::kIsas)
    if (const auto* found = cpu::kernels_for(isa); found && found->name == name) return found;
  return nullptr;
}

// A level with the arithmetic of one kind of rows.
struct Level {
  const cpu::Kernels* kernels;
  const cpu::Arithmetic* rows;

  Level(const std::string& name, bool prompt) : kernels(find(name)) {
    if (!kernels) throw nb::value_error(("this machine does not run " + name).c_str());
    rows = prompt ? &kernels->prompt : &kernels->generated;
  }
};

TensorType tensor_type(int type) { return static_cast<TensorType>(type); }

// Packs x [rows, k] into `out`, which starts at a multiple of 64.
void pack(const Level& level, int type, Floats x, int64_t k, Bytes out) {
  const size_t stride = level.rows->packed_bytes(tensor_type(type), k);
  for (size_t r = 0; r < x.size() / k; ++r)
    level.rows->pack(tensor_type(type), x.data() + r * k, k, out.data() + r * stride);
}

// out[r * out_stride + i] = row i of w (n rows, `stride` bytes apart) x packed row r.
void matmul(const Level& level, int type, Bytes w, int64_t n, int64_t stride, int64_t k, Bytes packed,
            int64_t rows, Floats out, int64_t out_stride) {
  const nb::gil_scoped_release release;
  level.rows->matmul(tensor_type(type), {w.data(), n, stride}, k, packed.data(), rows, out.data(),
                     out_stride);
}

// As the executor multiplies: tasks of `per_task` weight rows, dealt to `threads` threads in ranges, over w's
// matrices of n rows one after the other. out [rows, n] is used for each.
void matmul_tasks(const Level& level, int type, Bytes w, int64_t n, int64_t stride, int64_t k, Bytes packed,
                  int64_t rows, Floats out, int64_t per_task, int threads) {
  const nb::gil_scoped_release release;
  const int64_t parts = (n + per_task - 1) / per_task,
                tasks = static_cast<int64_t>(w.size()) / (n * stride) * parts;
  std::atomic<int64_t> asked = 0;
  cpu::Ranges ranges(tasks, threads);
  const auto work = [&](int thread) {
    while (asked++ < tasks) {
      const int64_t task = ranges.take(thread), first = task % parts * per_task;
      const cpu::WeightRows part = {w.data() + (task / parts * n + first) * stride,
                                    std::min(per_task, n - first), stride};
      level.rows->matmul(tensor_type(type), part, k, packed.data(), rows, out.data() + first, n);
    }
  };
  Joined others;
  for (int i = 1; i < threads; ++i) others.start([&work, i] { work(i); });
  work(0);
}

void dequantize(const Level& level, int type, Bytes row, Floats out) {
  level.kernels->dequantize(tensor_type(type), row.data(), static_cast<int64_t>(out.size()), out.data());
}

#ifdef OSTINATO_X86
// c [rows][columns] (32 bits) += a [rows][depth bytes] x b [depth / 4][columns] (32 bits): bf16, or signed
// bytes.
void tile_product(const std::string& level, bool bfloats, Bytes a, Bytes b, Bytes c, int rows, int columns,
                  int depth) {
  if (!find(level)) throw nb::value_error(("this machine does not run " + level).c_str());
  const auto product = level == "amx" ? &cpu::amx::tile_product : &cpu::amx_emulated::tile_product;
  product({bfloats, rows, columns, depth}, a.data(), b.data(), c.data());
}
#endif

}  // namespace

NB_MODULE(_kernels_test, m) {
  nb::class_<Level>(m, "Level")
      .def(nb::init<const std::string&, bool>(), "name"_a, "prompt"_a = false)
      .def("packed_bytes", [](const Level& level, int type,
                              int64_t k) { return level.rows->packed_bytes(tensor_type(type), k); })
      .def("packing", [](const Level& level,
                         int type) { return static_cast<int>(level.rows->packing(tensor_type(type))); })
      .def("pack", &pack)
      .def("matmul", &matmul)
      .def("matmul_tasks", &matmul_tasks)
      .def("dequantize", &dequantize);
#ifdef OSTINATO_X86
  m.def("tile_product", &tile_product);
#endif
  m.def("chosen", [] {
    const char* why_not = "";
    const cpu::Kernels* found = cpu::kernels(&why_not);
    return nb::make_tuple(found ? found->name : nullptr, why_not);
  });
}
