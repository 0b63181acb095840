// glu: act(gate) x up.
#pragma once
#include "activation.h"
#include "elements.h"

namespace ostinato::cuda {

OSTINATO_DEVICE inline void run(const call::Glu& c, const Machine& m, Work& w) {
  const int32_t count = m.rows(c.axis, c.factor) * c.width;
  for_each_piece(w, 1, count, [&](int32_t, const Lane<int32_t>& i, const Mask& inside) {
    const Lane<float> gate = load_where(inside, m.floats(c.gate), i, 0.0f);
    const Lane<float> up = load_where(inside, m.floats(c.up), i, 0.0f);
    store_where(inside, m.floats(c.out), i, activate(c.act, gate) * up);
  });
}

}  // namespace ostinato::cuda
