// Dot products of blocks of 32: one exact integer sum and one float term each (sums.md). A lane takes whole
// blocks l, l + 32, ...
#pragma once
#include "blocks/bytes.h"

namespace ostinato::cuda {

constexpr int32_t kSmall = 32;

OSTINATO_DEVICE inline PackedRow small_row(int32_t k) { return {k, kSmall}; }

// One block of a weight row: w = d v, or d v + m.
struct SmallBlock {
  Words4 low, high;  // v of elements 0 .. 15 and 16 .. 31, signed bytes
  Lane<float> d, m;
};

// One block of an activation row; `sum` of its quants where the weights have minima.
struct SmallActivations {
  Words4 low, high;
  Lane<float> scale, sum;

  template <bool kMinima>
  OSTINATO_DEVICE void read(const uint32_t* arena, int32_t at, int32_t k, const Lane<int32_t>& block) {
    low = load_words4(arena, at / 4 + block * 2);
    high = load_words4(arena, at / 4 + block * 2 + 1);
    scale = bits<float>(load(arena, at + small_row(k).scales() + block));
    if constexpr (kMinima) {
      const Lane<int32_t> sums = bits<int32_t>(load(arena, at + small_row(k).sums() + block));
      sum = convert<float>(convert<int32_t>(convert<int16_t>(sums)) + (sums >> 16));
    }
  }
};

template <bool kMinima>
OSTINATO_DEVICE inline Lane<float> add_term(const SmallBlock& w, const SmallActivations& x,
                                            const Lane<float>& sum) {
  const Lane<float> exact = convert<float>(dot16(w.low, x.low) + dot16(w.high, x.high));
  if constexpr (kMinima) {
    return fma(x.scale, fma(w.d, exact, w.m * x.sum), sum);
  } else {
    return fma(w.d * x.scale, exact, sum);
  }
}

// Format::read gives block `block` of a weight row with so many; Format::kMinima says whether m counts.
// Blocks beyond the row's end add 0.
template <class Format, int32_t kRows>
OSTINATO_DEVICE inline Lane<float> dot_small(const WeightRows& weights, const uint32_t* arena,
                                             const Lane<int32_t>& own, int32_t k) {
  constexpr bool kMinima = Format::kMinima;
  const TileRows<kRows> rows(own);
  const int32_t blocks = k / kSmall;
  Lane<float> sums[kTileWeights * kRows];
  OSTINATO_UNROLL
  for (Lane<float>& sum : sums) sum = 0.0f;
  for (int32_t first = 0; first < blocks; first += kLanes) {
    const Lane<int32_t> wanted = first + lane_index();
    const Mask inside = wanted < blocks;
    const Lane<int32_t> block = select(inside, wanted, blocks - 1);
    SmallBlock w[kTileWeights];
    OSTINATO_UNROLL
    for (int32_t i = 0; i < kTileWeights; ++i) {
      w[i] = Format::read(weights.row(i), blocks, block);
      w[i].d = select(inside, w[i].d, 0.0f);
      w[i].m = select(inside, w[i].m, 0.0f);
    }
    OSTINATO_UNROLL
    for (int32_t r = 0; r < kRows; ++r) {
      SmallActivations x;
      x.read<kMinima>(arena, rows.at[r], k, block);
      OSTINATO_UNROLL
      for (int32_t i = 0; i < kTileWeights; ++i) {
        sums[i * kRows + r] = add_term<kMinima>(w[i], x, sums[i * kRows + r]);
      }
    }
  }
  return spread_sum<kLanes / 2, 1>(sums);
}

}  // namespace ostinato::cuda
