// Which table of kernels: the best this machine runs, or the one OSTINATO_CPU names.
#if defined(OSTINATO_X86)
#include <cpuid.h>
#elif defined(OSTINATO_ARM)
#include "cpu/kernels/neon/machine.h"
#endif

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string_view>

#include "cpu/kernels/dequantize.h"
#include "cpu/kernels/formats.h"
#include "cpu/kernels/level.h"

namespace ostinato::cpu {
namespace {

Packing packing(TensorType type) {
  const auto found = []<class F>() {};
  if (type == TensorType::kF32 || type == TensorType::kF16 || type == TensorType::kBF16)
    return Packing::kFloats;
  if (with_format(type, SmallFormats{}, found)) return Packing::kBlocks;
  return with_format(type, SuperFormats{}, found) ? Packing::kSuper : Packing::kNone;
}

size_t packed_bytes(TensorType type, int64_t k) {
  switch (packing(type)) {
    case Packing::kFloats:
      return sizeof(float) * packed_floats(k);
    case Packing::kBlocks:
    case Packing::kSuper:
      return sizeof(SuperRow) * ((k + kSuper - 1) / kSuper);
    default:
      return 0;
  }
}

void pack_floats(const float* x, int64_t k, void* out) {
  auto* floats = static_cast<float*>(out);
  std::memcpy(floats, x, sizeof(float) * k);
  std::memset(floats + k, 0, sizeof(float) * (packed_floats(k) - k));
}

template <const Level& kLevel>
void pack(TensorType type, const float* x, int64_t k, void* out) {
  switch (packing(type)) {
    case Packing::kFloats:
      return pack_floats(x, k, out);
    case Packing::kBlocks:
      return kLevel.pack_blocks(x, k, out);
    case Packing::kSuper:
      return kLevel.pack_super(x, k, out);
    case Packing::kNone:
      return;
  }
}

template <const Level& kLevel>
void matmul(TensorType type, WeightRows w, int64_t k, const void* packed, int64_t rows, float* out,
            int64_t out_stride) {
  kLevel.matmul(type)(w, k, packed, rows, out, out_stride);
}

template <const Level& kLevel>
const Kernels* table() {
  static const Arithmetic arithmetic = {packing, packed_bytes, pack<kLevel>, matmul<kLevel>};
  static const Kernels kernels = {kLevel.isa, kLevel.name, arithmetic, arithmetic, dequantize};
  return &kernels;
}

#ifdef OSTINATO_X86
bool has_f16c() {  // not among the names of clang's __builtin_cpu_supports
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c(); }

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}
#endif

const Kernels* choose(std::string_view wanted, const char** why_not) {
  const Kernels* best = nullptr;
  for (Isa isa : kIsas) {
    const Kernels* found = kernels_for(isa);
    if (found && (wanted.empty() || wanted == found->name)) best = found;
  }
  if (best) return best;
  constexpr std::string_view kNames[] = {"avx2", "avx512", "neon", "i8mm"};
  const bool known = std::find(std::begin(kNames), std::end(kNames), wanted) != std::end(kNames);
  if (why_not)
    *why_not = known ? "OSTINATO_CPU names an instruction level that this machine or this build lacks"
                     : "OSTINATO_CPU must be one of: portable, avx2, avx512, neon, i8mm";
  return nullptr;
}

}  // namespace

const Kernels* kernels(const char** why_not) {
  const char* wanted = std::getenv("OSTINATO_CPU");
  return choose(wanted ? wanted : "", why_not);
}

const Kernels* kernels_for(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return table<portable::level>();
#ifdef OSTINATO_X86
    case Isa::kAvx2:
      return has_avx2() ? table<avx2::level>() : nullptr;
    case Isa::kAvx512:
      return has_avx512() ? table<avx512::level>() : nullptr;
#endif
#ifdef OSTINATO_ARM
    case Isa::kNeon:
      return neon::has_dot_products() ? table<neon::level>() : nullptr;
    case Isa::kI8mm:
      return neon::has_matrix_products() ? table<i8mm::level>() : nullptr;
#endif
    default:
      return nullptr;
  }
}

}  // namespace ostinato::cpu
