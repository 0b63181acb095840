// linear: activation rows times the rows of a packed weight, one tile of outputs per warp and turn
// (blocks/tile.h).
//
// A warp goes through all activation rows of its weight rows, so that these are read from memory once; where
// there are fewer weight tiles than warps, several warps share a tile's activation rows.
#pragma once
#include "blocks/types.h"
#include "machine.h"

namespace ostinato::cuda {

// The outputs at weight rows from i and activation rows from `row` up to `end`.
OSTINATO_DEVICE inline void linear_tile(const call::Linear& c, const Machine& m, const Weight& weight,
                                        int32_t i, int32_t row, int32_t end) {
  const Tile tile(i, c.n, row, end);
  const Lane<int32_t> own = c.x + tile.activation * weight.activation_words();
  Lane<float> value = weight.dot(i, c.n - i, tile.rows, m.arena, own);
  if (c.has_bias) {
    const float* bias = reinterpret_cast<const float*>(m.weights[c.bias]) + c.first;
    value = value + load_where(tile.owner, bias, tile.weight, 0.0f);
  }
  store_where(tile.owner, m.floats(c.out), tile.activation * c.stride + tile.weight, value);
}

OSTINATO_DEVICE inline void run(const call::Linear& c, const Machine& m, Work& w) {
  const Weight weight(m.weights[c.weight], c.weight_type, c.k);
  const int32_t begin = m.first_row(c.axis, c.factor, w), end = m.rows(c.axis, c.factor);
  const int32_t tiles = (c.n + kTileWeights - 1) / kTileWeights;
  const int32_t row_tiles = (end - begin + kTileRows - 1) / kTileRows;
  const int32_t sharing = maximum(1, minimum(w.warps / tiles, row_tiles));
  for (int32_t item = w.warp; item < tiles * sharing; item += w.warps) {
    for (int32_t t = item / tiles; t < row_tiles; t += sharing) {
      linear_tile(c, m, weight, item % tiles * kTileWeights, begin + t * kTileRows, end);
    }
  }
}

}  // namespace ostinato::cuda
