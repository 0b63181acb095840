// Q2_K: 16 sub-blocks of 16 with four-bit sub-scales (low nibble) and minima.
#pragma once
#include "cpu/kernels/formats/format.h"

namespace ostinato::cpu {
namespace {

struct Q2_K {
  struct Block {
    uint8_t scales[16], q[64], d[2], dmin[2];
  };
  static constexpr TensorType kType = TensorType::kQ2_K;
  static constexpr int kSub = 16, kTop = 3, kZero = 0;
  static constexpr bool kMins = true;

  BYTES_INLINE Bytes codes(const Block& block, int c) {
    return bits(load32(block.q + 32 * (c / 4)), 2 * (c % 4), 3);
  }
  BYTES_INLINE Subs subs(const Block& block) { return std::bit_cast<Subs>(nibbles(block.scales)); }
  BYTES_INLINE float d(const Block& block) { return half_at(block.d); }
  BYTES_INLINE float dmin(const Block& block) { return half_at(block.dmin); }
};

}  // namespace
}  // namespace ostinato::cpu
