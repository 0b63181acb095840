// One row of packed weights -> floats, rounding exactly where the gguf package does (gguf-py, quants.py).
#include "cpu/kernels/dequantize.h"

#include "cpu/kernels/formats.h"

namespace ostinato::cpu {
namespace {

template <class F>
void expand_super(const uint8_t* row, int64_t k, float* out) {
  const auto* blocks = reinterpret_cast<const typename F::Block*>(row);
  for (int64_t b = 0; b < k / kSuper; ++b, out += kSuper) {
    uint8_t codes[kSuper];
    for (int c = 0; c < 8; ++c) store32(codes + 32 * c, F::codes(blocks[b], c));
    const Subs subs = F::subs(blocks[b]);
    for (int j = 0; j < kSuper / F::kSub; ++j) {
      const float scale = F::d(blocks[b]) * subs.sc[j];
      for (int i = F::kSub * j; i < F::kSub * (j + 1); ++i) {
        out[i] = scale * static_cast<float>(codes[i] - F::kZero);
        if constexpr (F::kMins) out[i] -= F::dmin(blocks[b]) * subs.m[j];
      }
    }
  }
}

template <class F>
void expand_small(const uint8_t* row, int64_t k, float* out) {
  const auto* blocks = reinterpret_cast<const typename F::Block*>(row);
  for (int64_t chunk = 0; chunk < k / 32; ++chunk, out += 32) {
    const auto& block = blocks[chunk / (F::kElements / 32)];
    const int c = static_cast<int>(chunk % (F::kElements / 32));
    const Bytes codes = F::codes(block, c);
    for (int i = 0; i < 32; ++i) {
      out[i] = F::d(block, (32 * c + i) / F::kWidth) * static_cast<float>(codes[i] - F::kZero);
      if constexpr (F::kMins) out[i] += F::m(block);
    }
  }
}

}  // namespace

void dequantize(TensorType type, const uint8_t* row, int64_t k, float* out) {
  if (type == TensorType::kF32) std::memcpy(out, row, sizeof(float) * k);
  for (int64_t i = 0; type == TensorType::kF16 && i < k; ++i) out[i] = from_half(row + 2 * i);
  for (int64_t i = 0; type == TensorType::kBF16 && i < k; ++i) out[i] = from_bfloat(row + 2 * i);
  const auto super = [&]<class F>() { expand_super<F>(row, k, out); };
  const auto small = [&]<class F>() { expand_small<F>(row, k, out); };
  // packed_bytes() has said that other types are not supported
  if (!with_format(type, SuperFormats{}, super)) with_format(type, SmallFormats{}, small);
}

}  // namespace ostinato::cpu
