// Q5_0 and Q5_1: 32 codes of five bits: nibbles as in Q4_0, fifth bits in one word.
#pragma once
#include "cpu/kernels/formats/format.h"

namespace ostinato::cpu {
namespace {

struct Q5_0 {
  struct Block {
    uint8_t d[2], high[4], q[16];
  };
  static constexpr TensorType kType = TensorType::kQ5_0;
  static constexpr int kElements = 32, kWidth = 32, kTop = 31, kZero = 16;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int) {
    return nibbles(block.q) | (spread_bits(block.high) & splat(16));
  }
  BYTES_INLINE float d(const Block& block, int) { return half_at(block.d); }
};

struct Q5_1 {
  struct Block {
    uint8_t d[2], m[2], high[4], q[16];
  };
  static constexpr TensorType kType = TensorType::kQ5_1;
  static constexpr int kElements = 32, kWidth = 32, kTop = 31, kZero = 0;
  static constexpr bool kMins = true;

  BYTES_INLINE Bytes codes(const Block& block, int) {
    return nibbles(block.q) | (spread_bits(block.high) & splat(16));
  }
  BYTES_INLINE float d(const Block& block, int) { return half_at(block.d); }
  BYTES_INLINE float m(const Block& block) { return half_at(block.m); }
};

}  // namespace
}  // namespace ostinato::cpu
