// Activations as kernels take them, whatever the instruction level: "Activations" in sums.md.
//
// A Packer has, of kCount (32 or 256) floats: largest<kCount>(x), the bits of the largest magnitude (of a NaN
// where there is one); round<kCount>(x, inverse, q), q = round(x inverse). And of what came of them:
// set_sums(row), all of a SuperRow but q and d; sum32(q), the sum of 32.
#pragma once
#include <bit>
#include <cstring>

#include "cpu/kernels/blocks.h"

namespace ostinato::cpu {

// Quantises kCount floats with one scale and returns it.
template <class Packer, int kCount>
static inline float quantize(const float* x, int8_t* q) {
  constexpr uint32_t kInfinity = 0x7f800000, kNaN = 0x7fc00000;
  const uint32_t bits = Packer::template largest<kCount>(x);
  const float largest = std::bit_cast<float>(bits);
  if (bits >= kInfinity || largest < kTiny) {
    std::memset(q, 0, kCount);
    return bits >= kInfinity ? std::bit_cast<float>(kNaN) : 0.0f;
  }
  Packer::template round<kCount>(x, 127.0f / largest, q);
  return largest / 127.0f;
}

template <class Packer>
static void pack_super(const float* x, int64_t k, void* out) {
  auto* rows = static_cast<SuperRow*>(out);
  for (int64_t b = 0; b < k / kSuper; ++b) {
    SuperRow& row = rows[b] = {};
    row.d = quantize<Packer, kSuper>(x + b * kSuper, row.q);
    Packer::set_sums(row);
  }
}

template <class Packer>
static void pack_blocks(const float* x, int64_t k, void* out) {
  auto* rows = static_cast<BlockRow*>(out);
  for (int64_t b = 0; b < k / 32; ++b) {
    BlockRow& row = rows[b / 8];
    const int j = static_cast<int>(b % 8);
    if (j == 0) row = {};
    row.d[j] = quantize<Packer, 32>(x + 32 * b, row.q + 32 * j);
    row.minus_sums[j] = -Packer::sum32(row.q + 32 * j);
  }
}

}  // namespace ostinato::cpu
