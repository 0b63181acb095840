// attend: rows whole, their splits one after the other.
#pragma once
#include "heads.h"

namespace ostinato::cuda {
namespace attend {

template <class Shape>
OSTINATO_DEVICE inline void whole(const call::Attend& c, const Machine& m,
                                  const Pages<typename Shape::E>& pages, const Queries& queries, float* out) {
  using OneSplit = Split<typename Shape::E, Shape::N, Shape::H>;
  Partial total[Shape::H], more[Shape::H];
  for (int32_t split = 0; split < splits_of(queries.position); ++split) {
    OneSplit(m, pages, c.cache, queries, split).run(more);
    OSTINATO_UNROLL
    for (int32_t h = 0; h < Shape::H; ++h) {
      if (split == 0) {
        total[h] = more[h];
      } else {
        merge(total[h], more[h], c.value_dim);
      }
    }
  }
  OSTINATO_UNROLL
  for (int32_t h = 0; h < Shape::H; ++h) {
    if (h < queries.count) store_attended(total[h], c.value_dim, out + h * c.value_dim);
  }
}

}  // namespace attend

OSTINATO_DEVICE inline void run(const call::Attend& c, const Machine& m, Work& w) {
  const int32_t first = m.first_row(static_cast<int32_t>(Axis::kT), 1, w),
                end = m.step().rows - divided_rows(m);
  with_shape(c, m, [&](auto shape) {
    using S = decltype(shape);
    const Pages<typename S::E> pages(c, m);
    const HeadTiles<call::Attend> tiles(c, m, S::H);
    for (int32_t item = w.warp; item < (end - first) * tiles.per_row(); item += w.warps) {
      const Queries queries = tiles.at(first + item / tiles.per_row(), item % tiles.per_row());
      float* out =
          m.floats(c.out) + (static_cast<int64_t>(queries.row) * c.heads + queries.head) * c.value_dim;
      if (queries.position == kInactive) {
        for (int32_t h = 0; h < queries.count; ++h) store_zeros(c.value_dim, out + h * c.value_dim);
      } else {
        attend::whole<S>(c, m, pages, queries, out);
      }
    }
  });
}

}  // namespace ostinato::cuda
