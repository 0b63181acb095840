// The public table of a level, and what the packed rows of all levels have in common.
#pragma once
#include <cstring>

#include "cpu/kernels/dequantize.h"
#include "cpu/kernels/formats.h"
#include "cpu/kernels/level.h"

namespace ostinato::cpu {
namespace {

inline Packing packing(TensorType type) {
  const auto found = []<class F>() {};
  if (type == TensorType::kF32 || type == TensorType::kF16 || type == TensorType::kBF16)
    return Packing::kFloats;
  if (with_format(type, SmallFormats{}, found)) return Packing::kBlocks;
  return with_format(type, SuperFormats{}, found) ? Packing::kSuper : Packing::kNone;
}

inline size_t packed_bytes(TensorType type, int64_t k) {
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

inline void pack_floats(const float* x, int64_t k, void* out) {
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
    default:
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
  static const Kernels kernels = {kLevel.isa, kLevel.name, kLevel.prompt ? *kLevel.prompt : arithmetic,
                                  arithmetic, dequantize};
  return &kernels;
}

}  // namespace
}  // namespace ostinato::cpu
