// Q4_0, Q4_1 and IQ4_NL: 32 nibbles, byte i holding elements i (low) and i + 16.
#pragma once
#include "cpu/kernels/formats/format.h"

namespace ostinato::cpu {
namespace {

struct Q4_0 {
  using Block = BlockQ4_0;
  static constexpr TensorType kType = TensorType::kQ4_0;
  static constexpr int kElements = 32, kWidth = 32, kTop = 15, kZero = 8;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int) { return nibbles(block.q); }
  BYTES_INLINE float d(const Block& block, int) { return half_at(block.d); }
};

struct Q4_1 {
  struct Block {
    uint8_t d[2], m[2], q[16];
  };
  static constexpr TensorType kType = TensorType::kQ4_1;
  static constexpr int kElements = 32, kWidth = 32, kTop = 15, kZero = 0;
  static constexpr bool kMins = true;

  BYTES_INLINE Bytes codes(const Block& block, int) { return nibbles(block.q); }
  BYTES_INLINE float d(const Block& block, int) { return half_at(block.d); }
  BYTES_INLINE float m(const Block& block) { return half_at(block.m); }
};

// Codes are values of a table, moved up by 128.
struct IQ4_NL {
  using Block = BlockQ4_0;
  static constexpr TensorType kType = TensorType::kIQ4_NL;
  static constexpr int kElements = 32, kWidth = 32, kTop = 241, kZero = 128;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int) {
    return look_up(grids::kIQ4Values, nibbles(block.q)) ^ splat(128);
  }
  BYTES_INLINE float d(const Block& block, int) { return half_at(block.d); }
};

}  // namespace
}  // namespace ostinato::cpu
