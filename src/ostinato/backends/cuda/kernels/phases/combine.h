// combine: a row's expert outputs, weighted and added in the row's own route order.
#pragma once
#include "elements.h"

namespace ostinato::cuda {

OSTINATO_DEVICE inline void run(const call::Combine& c, const Machine& m, Work& w) {
  const int32_t rows = m.rows(c.axis, c.factor);
  for_each_piece(w, rows, c.width, [&](int32_t row, const Lane<int32_t>& column, const Mask& inside) {
    Lane<float> total = 0.0f;
    for (int32_t j = row * c.top_k; j < (row + 1) * c.top_k; ++j) {
      const Lane<float> part = load_where(inside, m.floats(c.e), j * c.width + column, 0.0f);
      total = fma(Lane<float>(m.floats(c.weights)[j]), part, total);
    }
    store_where(inside, m.floats(c.out), row * c.width + column, total);
  });
}

}  // namespace ostinato::cuda
