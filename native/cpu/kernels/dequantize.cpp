// One row of packed weights -> floats, rounding exactly where the gguf package does (gguf-py, quants.py).
#include "cpu/kernels/dequantize.h"

#include "cpu/kernels/blocks.h"

namespace ostinato::cpu {
namespace {

void expand(const BlockQ8_0& block, float* out) {
  const float d = from_half(block.d);
  for (int i = 0; i < 32; ++i) out[i] = d * block.q[i];
}

void expand(const BlockQ4_0& block, float* out) {
  uint8_t q[32];
  unpack_quants(block, q);
  const float d = from_half(block.d);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(q[i] - 8);
}

void expand(const BlockQ4_K& block, float* out) {
  uint8_t q[kSuper];
  unpack_quants(block, q);
  const ScalesQ4_K scales = decode_scales(block.scales);
  const float d = from_half(block.d), dmin = from_half(block.dmin);
  for (int j = 0; j < 8; ++j) {
    const float scale = d * scales.sc[j], least = dmin * scales.m[j];
    for (int i = 32 * j; i < 32 * j + 32; ++i) out[i] = scale * q[i] - least;
  }
}

void expand(const BlockQ6_K& block, float* out) {
  uint8_t q[kSuper];
  unpack_quants(block, q);
  const float d = from_half(block.d);
  for (int j = 0; j < 16; ++j) {
    const float scale = d * block.sc[j];
    for (int i = 16 * j; i < 16 * j + 16; ++i) out[i] = scale * static_cast<float>(q[i] - 32);
  }
}

template <class Block, int kElements>
void expand_row(const uint8_t* row, int64_t k, float* out) {
  for (int64_t b = 0; b < k / kElements; ++b)
    expand(reinterpret_cast<const Block*>(row)[b], out + b * kElements);
}

}  // namespace

void dequantize(TensorType type, const uint8_t* row, int64_t k, float* out) {
  switch (type) {
    case TensorType::kF32:
      std::memcpy(out, row, sizeof(float) * k);
      break;
    case TensorType::kF16:
      for (int64_t i = 0; i < k; ++i) out[i] = from_half(row + 2 * i);
      break;
    case TensorType::kQ8_0:
      return expand_row<BlockQ8_0, 32>(row, k, out);
    case TensorType::kQ4_0:
      return expand_row<BlockQ4_0, 32>(row, k, out);
    case TensorType::kQ4_K:
      return expand_row<BlockQ4_K, 256>(row, k, out);
    case TensorType::kQ6_K:
      return expand_row<BlockQ6_K, 256>(row, k, out);
    default:
      break;  // packed_bytes() has said that the type is not supported
  }
}

}  // namespace ostinato::cpu
