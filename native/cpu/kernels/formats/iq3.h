// IQ3_XXS and IQ3_S: every four elements a point of a grid, with signs; 8 sub-blocks of 32.
#pragma once
#include "cpu/kernels/formats/grid.h"

namespace ostinato::cpu {
namespace {

struct IQ3_XXS {
  struct Block {
    uint8_t d[2], q[64], words[32];
  };
  static constexpr TensorType kType = TensorType::kIQ3_XXS;
  static constexpr int kSub = 32, kTop = 124, kZero = 62;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int c) {
    const uint8_t* q = block.q + 8 * c;
    const auto& grid = grids::kIQ3_XXS;
    const auto points = reinterpret_cast<Bytes>(Longs{grid[q[0]], grid[q[1]], grid[q[2]], grid[q[3]],
                                                      grid[q[4]], grid[q[5]], grid[q[6]], grid[q[7]]});
    return with_signs(points, even_signs(read<uint32_t>(block.words + 4 * c))) + splat(kZero);
  }
  BYTES_INLINE Subs subs(const Block& block) { return odd_tops(read<Longs>(block.words)); }
  BYTES_INLINE float d(const Block& block) { return 0.25f * half_at(block.d); }
};

struct IQ3_S {
  struct Block {
    uint8_t d[2], q[64], high[8], signs[32], scales[4];
  };
  static constexpr TensorType kType = TensorType::kIQ3_S;
  static constexpr int kSub = 32, kTop = 30, kZero = 15;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int c) {
    const uint8_t* q = block.q + 8 * c;
    const uint32_t high = block.high[c];
    const auto at = [&](int i) { return grids::kIQ3_S[q[i] | (high >> i & 1) << 8]; };
    const auto points =
        reinterpret_cast<Bytes>(Longs{at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7)});
    return with_signs(points, spread_bits(block.signs + 4 * c)) + splat(kZero);
  }
  BYTES_INLINE Subs subs(const Block& block) { return odd_nibbles(read<uint32_t>(block.scales)); }
  BYTES_INLINE float d(const Block& block) { return half_at(block.d); }
};

}  // namespace
}  // namespace ostinato::cpu
