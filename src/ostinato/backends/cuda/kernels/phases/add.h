// add: a + b.
#pragma once
#include "elements.h"

namespace ostinato::cuda {

OSTINATO_DEVICE inline void run(const call::Add& c, const Machine& m, Work& w) {
  const int32_t count = m.rows(c.axis, c.factor) * c.width;
  for_each_piece(w, 1, count, [&](int32_t, const Lane<int32_t>& i, const Mask& inside) {
    const Lane<float> a = load_where(inside, m.floats(c.a), i, 0.0f);
    store_where(inside, m.floats(c.out), i, a + load_where(inside, m.floats(c.b), i, 0.0f));
  });
}

}  // namespace ostinato::cuda
