// experts_out: down_e . x for every assignment, back in assignment order.
#pragma once
#include "blocks/types.h"
#include "experts.h"

namespace ostinato::cuda {

OSTINATO_DEVICE inline void run(const call::ExpertsOut& c, const Machine& m, Work& w) {
  const Weight downs(nullptr, c.down_type, c.k);
  const int32_t* order = m.ints(c.order);
  const int32_t tiles = (c.n + kTileWeights - 1) / kTileWeights;
  const auto compute = [&](int32_t expert, int32_t first, int32_t last, int32_t t) {
    const int32_t i = t * kTileWeights;
    const Weight down = downs.at(expert_planes(m, c.down, expert - c.first));
    for (int32_t s = first; s < last; s += kTileRows) {
      const Tile tile(i, c.n, s, last);
      const Lane<float> value =
          down.dot(i, c.n - i, tile.rows, m.arena, c.x + tile.activation * down.activation_words());
      store_where(tile.owner, m.floats(c.out), load(order, tile.activation) * c.n + tile.weight, value);
    }
  };
  for_each_expert_tile(w, m.ints(c.offsets), c.experts, c.first, c.count, tiles, compute);
}

}  // namespace ostinato::cuda
