// One scale and codes of at most two bits: Q1_0, Q2_0, TQ1_0, TQ2_0.
#pragma once
#include "cpu/kernels/formats/format.h"

namespace ostinato::cpu {
namespace {

// One bit: -1 or 1.
struct Q1_0 {
  struct Block {
    uint8_t d[2], q[16];
  };
  static constexpr TensorType kType = TensorType::kQ1_0;
  static constexpr int kElements = 128, kWidth = 32, kTop = 2, kZero = 1;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int c) { return spread_bits(block.q + 4 * c) & splat(2); }
  BYTES_INLINE float d(const Block& block, int) { return half_at(block.d); }
};

struct Q2_0 {
  struct Block {
    uint8_t d[2], q[16];
  };
  static constexpr TensorType kType = TensorType::kQ2_0;
  static constexpr int kElements = 64, kWidth = 32, kTop = 3, kZero = 1;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int c) { return pairs_of_bits(block.q + 8 * c); }
  BYTES_INLINE float d(const Block& block, int) { return half_at(block.d); }
};

// Five base-3 digits to a byte, which is a fraction of 256: bytes of q hold digits of elements l + 32 i (the
// first 32) and 160 + l + 16 i, those of high 240 + l + 4 i.
struct TQ1_0 {
  struct Block {
    uint8_t q[48], high[4], d[2];
  };
  static constexpr TensorType kType = TensorType::kTQ1_0;
  static constexpr int kSub = 32, kTop = 2, kZero = 1;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int c) {
    if (c < 5) return digits(load32(block.q), splat(power(c)));
    const Bytes twice = load16_twice(block.q + 32);
    const auto powers =
        reinterpret_cast<Bytes>(halves(0x01010101u * power(2 * c - 10), 0x01010101u * power(2 * c - 9)));
    if (c < 7) return digits(twice, powers);
    const auto last = reinterpret_cast<Bytes>(Longs{} + read<uint32_t>(block.high));
    const auto mixed = reinterpret_cast<Bytes>((reinterpret_cast<Quads>(twice) & Quads{~0ull, ~0ull, 0, 0}) |
                                               (reinterpret_cast<Quads>(last) & Quads{0, 0, ~0ull, ~0ull}));
    constexpr uint32_t kOnes = 0x01010101u;
    const auto ends = reinterpret_cast<Bytes>(
        Longs{81 * kOnes, 81 * kOnes, 81 * kOnes, 81 * kOnes, kOnes, 3 * kOnes, 9 * kOnes, 27 * kOnes});
    return digits(mixed, ends);
  }
  BYTES_INLINE Subs subs(const Block&) { return ones(); }
  BYTES_INLINE float d(const Block& block) { return half_at(block.d); }

 private:
  BYTES_INLINE constexpr int power(int i) { return i == 0 ? 1 : i == 1 ? 3 : i == 2 ? 9 : i == 3 ? 27 : 81; }
  BYTES_INLINE Longs halves(uint32_t a, uint32_t b) { return Longs{a, a, a, a, b, b, b, b}; }

  // Digit i of bytes, from 3^i: the whole part of three times what is left of the fraction.
  BYTES_INLINE Bytes digits(Bytes v, Bytes powers) {
    const WideWords rest =
        __builtin_convertvector(v, WideWords) * __builtin_convertvector(powers, WideWords) & 255;
    return __builtin_convertvector(rest * 3 >> 8, Bytes);
  }
};

struct TQ2_0 {
  struct Block {
    uint8_t q[64], d[2];
  };
  static constexpr TensorType kType = TensorType::kTQ2_0;
  static constexpr int kSub = 32, kTop = 3, kZero = 1;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int c) {
    return bits(load32(block.q + 32 * (c / 4)), 2 * (c % 4), 3);
  }
  BYTES_INLINE Subs subs(const Block&) { return ones(); }
  BYTES_INLINE float d(const Block& block) { return half_at(block.d); }
};

}  // namespace
}  // namespace ostinato::cpu
