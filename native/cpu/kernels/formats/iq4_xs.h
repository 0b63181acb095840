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
    uint64_t high = read<uint16_t>(block.scales_high);  // pairs of bits, spread to bytes
    high = (high | high << 24) & 0x000000ff000000ff;
    high = (high | high << 12) & 0x000f000f000f000f;
    high = (high | high << 6) & 0x0303030303030303;
    const uint64_t low = spread_nibbles(read<uint32_t>(block.scales_low));
    return {sub_scales(low | high << 4) - int8_t{32}};
  }
  BYTES_INLINE float d(const Block& block) { return half_at(block.d); }
};

}  // namespace
}  // namespace ostinato::cpu
