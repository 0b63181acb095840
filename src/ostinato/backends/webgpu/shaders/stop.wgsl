// Where a run ends for a slot.

fn is_stop(slot: i32, token: i32) -> bool {
  for (var i = 0; i < state[slot_at(slot, SLOT_STOPS_COUNT)]; i++) {
    if (state[stops_at(slot, i)] == token) {
      return true;
    }
  }
  return false;
}

fn has_blocks(slot: i32, position: i32) -> bool {
  for (var cache = 0; cache < state[LAYOUT_CACHES]; cache++) {
    if (state[table_at(slot, cache, position / state[LAYOUT_BLOCK_SIZE])] < 0) {
      return false;
    }
  }
  return true;
}

// What Slot.stopped says of a slot whose next row in this run would take `token`: 0, or why it has no such
// row. The token is a stop token or none, or the row would draw at the limit or beyond: 1. Its keys and
// values have no place: NO_BLOCK.
fn why_stopped(slot: i32, token: i32) -> i32 {
  let position = state[slot_at(slot, SLOT_LENGTH)];
  if (token == NO_NUMBER || is_stop(slot, token) || position + 1 >= state[slot_at(slot, SLOT_LIMIT)] ||
      position >= state[LAYOUT_CONTEXT]) {
    return 1;
  }
  return select(NO_BLOCK, 0, has_blocks(slot, position));
}
