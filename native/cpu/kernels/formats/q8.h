// Q8_0, and what ggml makes of activations, Q8_1 and Q8_K: signed bytes, moved up by 128.
#pragma once
#include "cpu/kernels/formats/format.h"

namespace ostinato::cpu {
namespace {

struct Q8_0 {
  using Block = BlockQ8_0;
  static constexpr TensorType kType = TensorType::kQ8_0;
  static constexpr int kElements = 32, kWidth = 32, kTop = 255, kZero = 128;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int) { return load32(block.q) ^ splat(128); }
  BYTES_INLINE float d(const Block& block, int) { return half_at(block.d); }
};

struct Q8_1 {
  struct Block {
    uint8_t d[2], sum[2], q[32];
  };
  static constexpr TensorType kType = TensorType::kQ8_1;
  static constexpr int kElements = 32, kWidth = 32, kTop = 255, kZero = 128;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int) { return load32(block.q) ^ splat(128); }
  BYTES_INLINE float d(const Block& block, int) { return half_at(block.d); }
};

struct Q8_K {
  struct Block {
    uint8_t d[4], q[256], sums[32];
  };
  static constexpr TensorType kType = TensorType::kQ8_K;
  static constexpr int kSub = 32, kTop = 255, kZero = 128;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int c) { return load32(block.q + 32 * c) ^ splat(128); }
  BYTES_INLINE Subs subs(const Block&) { return ones(); }
  BYTES_INLINE float d(const Block& block) { return read<float>(block.d); }
};

}  // namespace
}  // namespace ostinato::cpu
