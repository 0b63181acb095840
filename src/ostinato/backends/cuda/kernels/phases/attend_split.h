// attend_split: generated rows, their splits side by side: partials[generated row, head, split].
#pragma once
#include "heads.h"

namespace ostinato::cuda {
namespace attend_split {

// Splits that the longest of the rows has.
OSTINATO_DEVICE inline int32_t most_splits(const Machine& m, int32_t first, int32_t end) {
  Lane<int32_t> position = 0;
  for (int32_t at = first; at < end; at += kLanes) {
    const Lane<int32_t> row = lane_index() + at;
    position = maximum(position, load_where(row < end, m.row_position(), row, 0));
  }
  return splits_of(largest(position));
}

template <class Shape>
OSTINATO_DEVICE inline void one(const call::AttendSplit& c, const Machine& m,
                                const Pages<typename Shape::E>& pages, const Queries& queries, int32_t split,
                                float* partials) {
  Partial partial[Shape::H];
  Split<typename Shape::E, Shape::N, Shape::H>(m, pages, c.cache, queries, split).run(partial);
  OSTINATO_UNROLL
  for (int32_t h = 0; h < Shape::H; ++h) {
    if (h < queries.count) store_partial(partial[h], c.value_dim, partials + h * partials_of_head(c, m));
  }
}

}  // namespace attend_split

OSTINATO_DEVICE inline void run(const call::AttendSplit& c, const Machine& m, Work& w) {
  const int32_t rows = divided_rows(m), first = m.step().rows - rows;
  if (rows == 0) return;
  const int32_t splits = attend_split::most_splits(m, first, m.step().rows);
  with_shape(c, m, [&](auto shape) {
    using S = decltype(shape);
    const Pages<typename S::E> pages(c, m);
    const HeadTiles<call::AttendSplit> tiles(c, m, S::H);
    for (int32_t item = w.warp; item < rows * tiles.per_row() * splits; item += w.warps) {
      const int32_t number = item / splits, split = item % splits;
      const Queries queries = tiles.at(first + number / tiles.per_row(), number % tiles.per_row());
      if (split * kAttendSplit > queries.position) continue;  // of an inactive row, all
      attend_split::one<S>(c, m, pages, queries, split,
                           partial_of(c, m, queries.row - first, queries.head, split));
    }
  });
}

}  // namespace ostinato::cuda
