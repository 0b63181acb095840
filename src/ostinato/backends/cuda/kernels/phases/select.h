// select: the rows that produce logits.
#pragma once
#include "elements.h"

namespace ostinato::cuda {

OSTINATO_DEVICE inline void run(const call::Select& c, const Machine& m, Work& w) {
  for_each_piece(
      w, m.step().logit_rows, c.width, [&](int32_t r, const Lane<int32_t>& column, const Mask& inside) {
        const float* x = m.floats(c.x) + m.logit_row()[r] * c.width;
        store_where(inside, m.floats(c.out), r * c.width + column, load_where(inside, x, column, 0.0f));
      });
}

}  // namespace ostinato::cuda
