// IQ2_XXS, IQ2_XS and IQ2_S: every eight elements a point of a grid, with signs.
#pragma once
#include "cpu/kernels/formats/grid.h"

namespace ostinato::cpu {
namespace {

// For each 32, four index bytes and a word of signs and scale.
struct IQ2_XXS {
  struct Block {
    uint8_t d[2], q[64];
  };
  static constexpr TensorType kType = TensorType::kIQ2_XXS;
  static constexpr int kSub = 32, kTop = 86, kZero = 43;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int c) {
    const uint8_t* q = block.q + 8 * c;
    const auto& grid = grids::kIQ2_XXS;
    const auto points = reinterpret_cast<Bytes>(Quads{grid[q[0]], grid[q[1]], grid[q[2]], grid[q[3]]});
    return with_signs(points, even_signs(read<uint32_t>(q + 4))) + splat(kZero);
  }
  BYTES_INLINE Subs subs(const Block& block) {
    const auto first = read<Longs>(block.q), second = read<Longs>(block.q + 32);
    return odd_tops(__builtin_shufflevector(first, second, 1, 3, 5, 7, 9, 11, 13, 15));
  }
  BYTES_INLINE float d(const Block& block) { return 0.125f * half_at(block.d); }
};

// For each 8, a word with nine bits of index and seven of signs.
struct IQ2_XS {
  struct Block {
    uint8_t d[2], q[64], scales[8];
  };
  static constexpr TensorType kType = TensorType::kIQ2_XS;
  static constexpr int kSub = 16, kTop = 86, kZero = 43;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int c) {
    const auto word = [&](int i) { return uint32_t{read<uint16_t>(block.q + 8 * c + 2 * i)}; };
    const auto at = [&](int i) { return grids::kIQ2_XS[word(i) & 511]; };
    const Bytes signs = even_signs(word(0) >> 9, word(1) >> 9, word(2) >> 9, word(3) >> 9);
    const auto points = reinterpret_cast<Bytes>(Quads{at(0), at(1), at(2), at(3)});
    return with_signs(points, signs) + splat(kZero);
  }
  BYTES_INLINE Subs subs(const Block& block) {
    return odd_nibbles(read<uint32_t>(block.scales), read<uint32_t>(block.scales + 4));
  }
  BYTES_INLINE float d(const Block& block) { return 0.125f * half_at(block.d); }
};

struct IQ2_S {
  struct Block {
    uint8_t d[2], q[32], signs[32], high[8], scales[8];
  };
  static constexpr TensorType kType = TensorType::kIQ2_S;
  static constexpr int kSub = 16, kTop = 86, kZero = 43;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int c) {
    const uint8_t* q = block.q + 4 * c;
    const uint32_t high = block.high[c];
    const auto at = [&](int i) { return grids::kIQ2_S[q[i] | (high >> (2 * i) & 3) << 8]; };
    const auto points = reinterpret_cast<Bytes>(Quads{at(0), at(1), at(2), at(3)});
    return with_signs(points, spread_bits(block.signs + 4 * c)) + splat(kZero);
  }
  BYTES_INLINE Subs subs(const Block& block) {
    return odd_nibbles(read<uint32_t>(block.scales), read<uint32_t>(block.scales + 4));
  }
  BYTES_INLINE float d(const Block& block) { return 0.125f * half_at(block.d); }
};

}  // namespace
}  // namespace ostinato::cpu
