// Dot products of super-blocks: 256 elements that are one exact integer sum and one float term (sums.md).
//
// Eight lanes share a super-block, four super-blocks are under way: lane l has part l % 8 of super-blocks
// l / 8, l / 8 + 4, ... The parts are integers and are added exactly, spread over the lanes by activation
// row, so that a lane makes the float terms of one activation row only.
#pragma once
#include "blocks/bytes.h"

namespace ostinato::cuda {

constexpr int32_t kSuper = 256;
constexpr int32_t kParts = kLanesPerWeight;      // lanes of a super-block
constexpr int32_t kSuperStep = kLanes / kParts;  // super-blocks under way

OSTINATO_DEVICE inline PackedRow super_row(int32_t k) { return {k, kSuper}; }

// Format::Activations and Format::Weights are what a lane holds of an activation row and of a weight row;
// Format::term makes the float term.
template <class Format, int32_t kRows>
OSTINATO_DEVICE inline Lane<float> dot_super(const WeightRows& weights, const uint32_t* arena,
                                             const Lane<int32_t>& own, int32_t k) {
  const TileRows<kRows> rows(own);
  const int32_t blocks = k / kSuper;
  const Lane<int32_t> part = lane_index() % kParts;
  Lane<float> sums[kTileWeights];
  OSTINATO_UNROLL
  for (Lane<float>& sum : sums) sum = 0.0f;
  for (int32_t first = 0; first < blocks; first += kSuperStep) {
    const Lane<int32_t> wanted = first + lane_index() / kParts;
    const Mask inside = wanted < blocks;
    const Lane<int32_t> block = select(inside, wanted, blocks - 1);
    typename Format::Weights w[kTileWeights];
    OSTINATO_UNROLL
    for (int32_t i = 0; i < kTileWeights; ++i) w[i].read(weights.row(i), blocks, block, part);
    typename Format::Activations x[kRows];
    OSTINATO_UNROLL
    for (int32_t r = 0; r < kRows; ++r) x[r].read(arena, rows.at[r], k, block, part);
    const Lane<float> scale = bits<float>(load(arena, own + super_row(k).scales() + block));
    OSTINATO_UNROLL
    for (int32_t i = 0; i < kTileWeights; ++i) {
      sums[i] = select(inside, fma(scale, Format::term(w[i], x, part), sums[i]), sums[i]);
    }
  }
  return spread_sum<kLanes / 2, kParts>(sums);
}

// The sum of a super-block's parts; a lane gets that of its own activation row (Tile).
template <int32_t kRows>
OSTINATO_DEVICE inline Lane<int32_t> sum_parts(const Lane<int32_t> (&parts)[kRows]) {
  return spread_sum<kParts / 2, 1>(parts);
}

// S of a super-block: the parts' products with 16 elements each of `low` and `high`, times their sub-scales.
template <class Activations, int32_t kRows>
OSTINATO_DEVICE inline Lane<int32_t> sum_scaled(const Words4& low, const Lane<int32_t>& low_scale,
                                                const Words4& high, const Lane<int32_t>& high_scale,
                                                const Activations (&x)[kRows]) {
  Lane<int32_t> scaled[kRows];
  OSTINATO_UNROLL
  for (int32_t r = 0; r < kRows; ++r) {
    scaled[r] = low_scale * dot16(low, x[r].low) + high_scale * dot16(high, x[r].high);
  }
  return sum_parts(scaled);
}

// What a lane holds of an activation row where its part is 32 elements side by side.
struct ChunkActivations {
  Words4 low, high;

  OSTINATO_DEVICE void read(const uint32_t* arena, int32_t at, int32_t, const Lane<int32_t>& block,
                            const Lane<int32_t>& part) {
    const Lane<int32_t> index = at / 4 + block * (kSuper / 16) + part * 2;
    low = load_words4(arena, index);
    high = load_words4(arena, index + 1);
  }
};

}  // namespace ostinato::cuda
