// Where a run of steps ends for a slot.
#pragma once
#include "packet.h"

namespace ostinato::cuda {

OSTINATO_DEVICE inline Mask is_stop(const Machine& m, const Lane<int32_t>& slot, const Lane<int32_t>& token) {
  const Lane<int32_t> count = field(&m.slot(0), &Slot::stops_count, slot);
  Mask found = false;
  for (int32_t i = 0; i < kMaxStops; ++i) {
    found = found || (count > i && load(m.stops(0), slot * kMaxStops + i) == token);
  }
  return found;
}

OSTINATO_DEVICE inline Mask has_blocks(const Machine& m, const Lane<int32_t>& slot,
                                       const Lane<int32_t>& position) {
  const Layout& layout = m.layout();
  Mask found = true;
  for (int32_t cache = 0; cache < layout.caches; ++cache) {
    const Lane<int32_t> table = (slot * layout.caches + cache) * layout.blocks_per_sequence;
    found = found && load(m.table(0, 0), table + position / layout.block_size) >= 0;
  }
  return found;
}

// Slot.stopped of slots whose next rows in a run would be at `position` and take `token`: 0, or why there is
// no such row. The token is a stop token or none, or the row would draw at the limit or beyond: 1. Its keys
// and values have no place: kNoBlock.
OSTINATO_DEVICE inline Lane<int32_t> why_stopped(const Machine& m, const Lane<int32_t>& slot,
                                                 const Lane<int32_t>& position, const Lane<int32_t>& token) {
  const Mask beyond = position >= m.layout().context;
  const Mask ended = token == kNoNumber || beyond || position >= field(&m.slot(0), &Slot::limit, slot) - 1 ||
                     is_stop(m, slot, token);
  return select(ended, 1, select(has_blocks(m, slot, select(beyond, 0, position)), 0, kNoBlock));
}

}  // namespace ostinato::cuda
