// Q3_K: 16 sub-blocks of 16 with six-bit sub-scales around 32; the third bits of codes lie by themselves.
#pragma once
#include "cpu/kernels/formats/format.h"

namespace ostinato::cpu {
namespace {

struct Q3_K {
  struct Block {
    uint8_t high[32], q[64], scales[12], d[2];
  };
  static constexpr TensorType kType = TensorType::kQ3_K;
  static constexpr int kSub = 16, kTop = 7, kZero = 4;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int c) {
    const Bytes low = bits(load32(block.q + 32 * (c / 4)), 2 * (c % 4), 3), high = load32(block.high);
    // bit c to bit 2
    const auto words = reinterpret_cast<Words>(high);
    const auto third = reinterpret_cast<Bytes>(c < 2 ? words << static_cast<uint16_t>(2 - c)
                                                     : words >> static_cast<uint16_t>(c - 2));
    return low | (third & splat(4));
  }
  BYTES_INLINE Subs subs(const Block& block) {
    const auto low = read<uint64_t>(block.scales);
    const auto high = read<uint32_t>(block.scales + 8);
    constexpr uint32_t kTwo = 0x30303030;
    const auto upper = [&](uint32_t a, uint32_t b) { return (a & kTwo) | uint64_t{b & kTwo} << 32; };
    constexpr uint64_t kNibbles = 0x0f0f0f0f0f0f0f0f;
    const SubScales moved = sub_scales((low & kNibbles) | upper(high << 4, high << 2),
                                       (low >> 4 & kNibbles) | upper(high, high >> 2));
    return {moved - int8_t{32}};
  }
  BYTES_INLINE float d(const Block& block) { return half_at(block.d); }
};

}  // namespace
}  // namespace ostinato::cpu
