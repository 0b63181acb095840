// Where a slot's words, tokens and blocks lie in StepState.

fn slot_at(slot: i32, word: i32) -> i32 {
  return state[LAYOUT_SLOT] + slot * SLOT_WORDS + word;
}

fn history_at(slot: i32, position: i32) -> i32 {
  return state[LAYOUT_HISTORY] + slot * (state[LAYOUT_CONTEXT] + 1) + position;
}

fn table_at(slot: i32, cache: i32, entry: i32) -> i32 {
  return state[LAYOUT_TABLE] + (slot * state[LAYOUT_CACHES] + cache) * state[LAYOUT_BLOCKS_PER_SEQUENCE] + entry;
}

fn bias_at(slot: i32, word: i32) -> i32 {
  return state[LAYOUT_BIAS] + slot * 2 * MAX_LOGIT_BIAS + word;
}

fn stops_at(slot: i32, stop: i32) -> i32 {
  return state[LAYOUT_STOPS] + slot * MAX_STOPS + stop;
}
