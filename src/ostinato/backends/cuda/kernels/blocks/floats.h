// Dot products of weights that are floats: activations stay float32, every lane one chain of fma.
//
// A lane takes 16 bytes of a weight row at a time, kChunk elements: chunks l, l + 32, ... of the row.
#pragma once
#include "blocks/tile.h"

namespace ostinato::cuda {

// Elements of chunk `chunk` of an activation row that begins at word `at`; 0 beyond k. `whole`: no chunk of
// the warp goes beyond k, and the row begins at 16 bytes.
template <int32_t kChunk>
OSTINATO_DEVICE inline void load_activations(const uint32_t* arena, int32_t at, const Lane<int32_t>& chunk,
                                             int32_t k, bool whole, Lane<float> (&out)[kChunk]) {
  if (whole) {
    OSTINATO_UNROLL
    for (int32_t j = 0; j < kChunk; j += 4) {
      const Words4 words = load_words4(arena, at / 4 + (chunk * kChunk + j) / 4);
      out[j] = bits<float>(words.x);
      out[j + 1] = bits<float>(words.y);
      out[j + 2] = bits<float>(words.z);
      out[j + 3] = bits<float>(words.w);
    }
  } else {
    const float* floats = reinterpret_cast<const float*>(arena);
    OSTINATO_UNROLL
    for (int32_t j = 0; j < kChunk; ++j) {
      const Lane<int32_t> element = chunk * kChunk + j;
      out[j] = load_where(element < k, floats, at + element, 0.0f);
    }
  }
}

// Elements of chunk `chunk` of a weight row; 0 beyond k.
template <class Format>
OSTINATO_DEVICE inline void load_weights(const uint8_t* row, const Lane<int32_t>& chunk, int32_t k,
                                         bool whole, Lane<float> (&out)[Format::kChunk]) {
  constexpr int32_t kChunk = Format::kChunk;
  if (whole) {
    Format::unpack(load_words4(row, chunk), out);
  } else {
    Format::unpack(load_words4(row, select(chunk * kChunk < k, chunk, 0)), out);
    OSTINATO_UNROLL
    for (int32_t j = 0; j < kChunk; ++j) out[j] = select(chunk * kChunk + j < k, out[j], 0.0f);
  }
}

template <class Format, int32_t kRows>
OSTINATO_DEVICE inline Lane<float> dot_floats(const WeightRows& weights, const uint32_t* arena,
                                              const Lane<int32_t>& own, int32_t k) {
  constexpr int32_t kChunk = Format::kChunk, kStep = kLanes * kChunk;
  const TileRows<kRows> rows(own);
  Lane<float> sums[kTileWeights * kRows];
  OSTINATO_UNROLL
  for (Lane<float>& sum : sums) sum = 0.0f;
  for (int32_t first = 0; first < k; first += kStep) {
    const Lane<int32_t> chunk = first / kChunk + lane_index();
    const bool whole = k % 4 == 0 && first + kStep <= k;
    Lane<float> w[kTileWeights][kChunk];
    OSTINATO_UNROLL
    for (int32_t i = 0; i < kTileWeights; ++i) load_weights<Format>(weights.row(i), chunk, k, whole, w[i]);
    OSTINATO_UNROLL
    for (int32_t r = 0; r < kRows; ++r) {
      Lane<float> x[kChunk];
      load_activations(arena, rows.at[r], chunk, k, whole, x);
      OSTINATO_UNROLL
      for (int32_t i = 0; i < kTileWeights; ++i) {
        OSTINATO_UNROLL
        for (int32_t j = 0; j < kChunk; ++j) sums[i * kRows + r] = fma(w[i][j], x[j], sums[i * kRows + r]);
      }
    }
  }
  return spread_sum<kLanes / 2, 1>(sums);
}

}  // namespace ostinato::cuda
