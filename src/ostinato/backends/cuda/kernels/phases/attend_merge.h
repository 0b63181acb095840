// attend_merge: puts the splits of generated rows together, in their order. A warp per row and head.
#pragma once
#include "heads.h"

namespace ostinato::cuda {

OSTINATO_DEVICE inline void run(const call::AttendMerge& c, const Machine& m, Work& w) {
  const int32_t rows = divided_rows(m), first = m.step().rows - rows;
  for (int32_t item = w.warp; item < rows * c.heads; item += w.warps) {
    const int32_t row = item / c.heads, head = item % c.heads, position = m.row_position()[first + row];
    float* out = m.floats(c.out) + (static_cast<int64_t>(first + row) * c.heads + head) * c.value_dim;
    if (position == kInactive) {
      store_zeros(c.value_dim, out);
      continue;
    }
    Partial total, more;
    load_partial(partial_of(c, m, row, head, 0), c.value_dim, total);
    for (int32_t split = 1; split < splits_of(position); ++split) {
      load_partial(partial_of(c, m, row, head, split), c.value_dim, more);
      merge(total, more, c.value_dim);
    }
    store_attended(total, c.value_dim, out);
  }
}

}  // namespace ostinato::cuda
