// Q4_K and Q5_K: 8 sub-blocks of 32 with six-bit sub-scales and minima.
#pragma once
#include "cpu/kernels/formats/format.h"

namespace ostinato::cpu {
namespace {

// What decode_scales does, four words at a time: sc 0-3, sc 4-7, m 0-3, m 4-7.
BYTES_INLINE Subs six_bit_subs(const uint8_t* packed) {
  const auto a = read<uint32_t>(packed), b = read<uint32_t>(packed + 4), c = read<uint32_t>(packed + 8);
  const HalfLongs low = HalfLongs{a, c, b, c} >> HalfLongs{0, 0, 0, 4};
  const HalfLongs upper = HalfLongs{a, a, b, b} >> 2 & HalfLongs{0, 0x30303030, 0, 0x30303030};
  const auto both =
      reinterpret_cast<HalfQuads>((low & HalfLongs{0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f}) | upper);
  return {reinterpret_cast<SubScales>(HalfQuads{both[0], 0}),
          reinterpret_cast<SubMinima>(HalfQuads{both[1], 0})};
}

struct Q4_K {
  using Block = BlockQ4_K;
  static constexpr TensorType kType = TensorType::kQ4_K;
  static constexpr int kSub = 32, kTop = 15, kZero = 0;
  static constexpr bool kMins = true;

  BYTES_INLINE Bytes codes(const Block& block, int c) {
    return bits(load32(block.q + 32 * (c / 2)), 4 * (c % 2), 15);
  }
  BYTES_INLINE Subs subs(const Block& block) { return six_bit_subs(block.scales); }
  BYTES_INLINE float d(const Block& block) { return half_at(block.d); }
  BYTES_INLINE float dmin(const Block& block) { return half_at(block.dmin); }
};

struct Q5_K {
  struct Block {
    uint8_t d[2], dmin[2], scales[12], high[32], q[128];
  };
  static constexpr TensorType kType = TensorType::kQ5_K;
  static constexpr int kSub = 32, kTop = 31, kZero = 0;
  static constexpr bool kMins = true;

  BYTES_INLINE Bytes codes(const Block& block, int c) {
    const Bytes low = bits(load32(block.q + 32 * (c / 2)), 4 * (c % 2), 15);
    const auto high = reinterpret_cast<Words>(load32(block.high));  // bit c to bit 4
    const auto fifth = reinterpret_cast<Bytes>(c < 4 ? high << static_cast<uint16_t>(4 - c)
                                                     : high >> static_cast<uint16_t>(c - 4));
    return low | (fifth & splat(16));
  }
  BYTES_INLINE Subs subs(const Block& block) { return six_bit_subs(block.scales); }
  BYTES_INLINE float d(const Block& block) { return half_at(block.d); }
  BYTES_INLINE float dmin(const Block& block) { return half_at(block.dmin); }
};

}  // namespace
}  // namespace ostinato::cpu
