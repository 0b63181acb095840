// How the phases of attention hand out query heads: a warp takes one row and up to H heads of one KV head.
#pragma once
#include "attention.h"

namespace ostinato::cuda {

// Element type of keys and values, keys read at once, and query heads at once: what kernels are made for.
template <class Element, int32_t Run, int32_t Heads>
struct Shape {
  using E = Element;
  static constexpr int32_t N = Run, H = Heads;
};

template <class E, int32_t Wide, int32_t Narrow, class Call, class F>
OSTINATO_DEVICE inline void with_elements(const Call& c, const Machine& m, F f) {
  constexpr int32_t kHeads = 4;
  if (c.key_dim % Wide != 0 || Pages<E>(c, m).block_elements() % Wide != 0) {
    f(Shape<E, Narrow, 1>{});
  } else if (c.heads == c.kv_heads) {
    f(Shape<E, Wide, 1>{});
  } else {
    f(Shape<E, Wide, kHeads>{});
  }
}

// Calls f with the Shape that fits a call of attend or attend_split: keys in runs of 16 bytes where all of
// them begin at one.
template <class Call, class F>
OSTINATO_DEVICE inline void with_shape(const Call& c, const Machine& m, F f) {
  if (c.half) {
    with_elements<uint16_t, 8, 2>(c, m, f);
  } else {
    with_elements<float, 4, 1>(c, m, f);
  }
}

// Generated rows go to attend_split, the last of T, unless there are too many for its partials.
OSTINATO_DEVICE inline int32_t divided_rows(const Machine& m) {
  const int32_t generated = m.step().rows - m.step().prompt_rows;
  return generated <= m.layout().max_sequences ? generated : 0;
}

OSTINATO_DEVICE inline int32_t splits_of(int32_t position) { return position / kAttendSplit + 1; }

// Where attend_split leaves the partial of a generated row's head and split.
template <class Call>
OSTINATO_DEVICE inline int64_t partials_of_head(const Call& c, const Machine& m) {
  return static_cast<int64_t>(splits_of(m.layout().context - 1)) * (c.value_dim + 2);
}
template <class Call>
OSTINATO_DEVICE inline float* partial_of(const Call& c, const Machine& m, int32_t row, int32_t head,
                                         int32_t split) {
  const int64_t words = partials_of_head(c, m);
  return m.floats(c.partials) + (static_cast<int64_t>(row) * c.heads + head) * words +
         split * (c.value_dim + 2);
}

// The heads of a row in tiles of `size`, none of which crosses from one KV head to the next.
template <class Call>
struct HeadTiles {
  const Call& c;
  const Machine& m;
  int32_t size, group, tiles;

  OSTINATO_DEVICE HeadTiles(const Call& call, const Machine& machine, int32_t heads)
      : c(call), m(machine), size(heads), group(c.heads / c.kv_heads), tiles((group + size - 1) / size) {}

  OSTINATO_DEVICE int32_t per_row() const { return c.kv_heads * tiles; }

  OSTINATO_DEVICE Queries at(int32_t row, int32_t tile) const {
    const int32_t kv_head = tile / tiles, first = tile % tiles * size, head = kv_head * group + first;
    const int64_t q = (static_cast<int64_t>(row) * c.heads + head) * c.key_dim;
    return {m.floats(c.q) + q,
            row,
            m.row_slot()[row],
            m.row_position()[row],
            head,
            minimum(size, group - first),
            kv_head,
            c.scale};
  }
};

}  // namespace ostinato::cuda
