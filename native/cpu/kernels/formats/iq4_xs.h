// IQ4_XS: 8 sub-blocks of 32 with six-bit sub-scales around 32; codes are IQ4_NL's.
#pragma once
#include "cpu/kernels/formats/format.h"

namespace ostinato::cpu {
namespace {

struct IQ4_XS {
  struct Block {
    uint8_t d[2], scales_high[2], scales_low[4], q[128];
  };
  static constexpr TensorType kType = TensorType::kIQ4_XS;
  static constexpr int kSub = 32, kTop = 241, kZero = 128;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int c) {
    return look_up(grids::kIQ4Values, nibbles(block.q + 16 * c)) ^ splat(128);
  }
  BYTES_INLINE Subs subs(const Block& block) {
    const int high = read<uint16_t>(block.scales_high);
    Subs subs{};
    for (int j = 0; j < 8; ++j) {
      const int low = block.scales_low[j / 2] >> (4 * (j % 2)) & 15;
      subs.sc[j] = static_cast<int8_t>((low | (high >> (2 * j) & 3) << 4) - 32);
    }
    return subs;
  }
  BYTES_INLINE float d(const Block& block) { return half_at(block.d); }
};

}  // namespace
}  // namespace ostinato::cpu
