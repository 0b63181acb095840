// experts_in: act(gate_e . x) x (up_e . x) for every assignment, in the order of (kind, expert).
#pragma once
#include "activation.h"
#include "blocks/types.h"
#include "experts.h"

namespace ostinato::cuda {

OSTINATO_DEVICE inline void run(const call::ExpertsIn& c, const Machine& m, Work& w) {
  const Weight gates(nullptr, c.gate_type, c.k), ups(nullptr, c.up_type, c.k);
  const int32_t* order = m.ints(c.order);
  const int32_t tiles = (c.n + kTileWeights - 1) / kTileWeights;
  const auto compute = [&](int32_t expert, int32_t first, int32_t last, int32_t t) {
    const int32_t i = t * kTileWeights;
    const Weight gate = gates.at(expert_planes(m, c.gate, expert - c.first));
    const Weight up = ups.at(expert_planes(m, c.up, expert - c.first));
    for (int32_t s = first; s < last; s += kTileRows) {
      const Tile tile(i, c.n, s, last);
      const Lane<int32_t> row = load(order, tile.activation) / c.top_k;
      const Lane<float> opened =
          activate(c.act, gate.dot(i, c.n - i, tile.rows, m.arena, c.gate_x + row * gate.activation_words()));
      const Lane<float> value = up.dot(i, c.n - i, tile.rows, m.arena, c.up_x + row * up.activation_words());
      store_where(tile.owner, m.floats(c.out), tile.activation * c.n + tile.weight, opened * value);
    }
  };
  for_each_expert_tile(w, m.ints(c.offsets), c.experts, c.first, c.count, tiles, compute);
}

}  // namespace ostinato::cuda
