// embed: the table's row of each row's token. A table too large for one binding comes in several calls.
#pragma once
#include "blocks/types.h"
#include "elements.h"

namespace ostinato::cuda {

OSTINATO_DEVICE inline void run(const call::Embed& c, const Machine& m, Work& w) {
  const Weight table(m.weights[c.table], c.table_type, c.width);
  for_each_piece(w, m.step().rows, c.width,
                 [&](int32_t row, const Lane<int32_t>& column, const Mask& inside) {
                   const int32_t index = m.row_token()[row] - c.first;
                   if (index < 0 || index >= c.count) return;
                   const Lane<float> values = table.elements(index, select(inside, column, 0));
                   store_where(inside, m.floats(c.out), row * c.width + column, values);
                 });
}

}  // namespace ostinato::cuda
