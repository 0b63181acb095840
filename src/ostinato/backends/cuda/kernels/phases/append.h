// append: keys and values of the step's rows into their blocks. A warp per row and KV head.
#pragma once
#include "paged.h"

namespace ostinato::cuda {
namespace append {

template <class E>
OSTINATO_DEVICE inline void put(const float* from, int32_t count, E* to) {
  for (int32_t first = 0; first < count; first += kLanes) {
    const Lane<int32_t> i = lane_index() + first;
    const Mask inside = i < count;
    store_element(inside, to, i, load_where(inside, from, i, 0.0f));
  }
}

template <class E>
OSTINATO_DEVICE inline void all(const call::Append& c, const Machine& m, const Work& w) {
  const Pages<E> pages(c, m);
  for (int32_t item = w.warp; item < m.step().rows * c.kv_heads; item += w.warps) {
    const int32_t row = item / c.kv_heads, head = item % c.kv_heads, position = m.row_position()[row];
    if (position == kInactive) continue;
    const int32_t within = position % pages.block_size;
    E* block = pages.block(m.table(m.row_slot()[row], c.cache)[position / pages.block_size]);
    const int64_t from = item;
    put(m.floats(c.k) + from * c.key_dim, c.key_dim, block + pages.key_at(head, within));
    put(m.floats(c.v) + from * c.value_dim, c.value_dim, block + pages.value_at(head, within));
  }
}

}  // namespace append

OSTINATO_DEVICE inline void run(const call::Append& c, const Machine& m, Work& w) {
  if (c.half) {
    append::all<uint16_t>(c, m, w);
  } else {
    append::all<float>(c, m, w);
  }
}

}  // namespace ostinato::cuda
