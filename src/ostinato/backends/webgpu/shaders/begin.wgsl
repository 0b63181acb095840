// begin: takes the packet into StepState, as StepState.apply does. One workgroup: later records overwrite
// earlier ones.

// A sequence takes its slot: settings, history, biases, stop tokens; no blocks yet.
fn enter(number: i32, lane: i32) {
  let slot = packet[enter_at(number, ENTER_SLOT)];
  let history = pool_at(packet[enter_at(number, ENTER_HISTORY)]);
  let bias = pool_at(packet[enter_at(number, ENTER_BIAS)]);
  let stops = pool_at(packet[enter_at(number, ENTER_STOPS)]);
  for (var i = lane; i < packet[enter_at(number, ENTER_HISTORY_COUNT)]; i += LANES) {
    state[history_at(slot, i)] = packet[history + i];
  }
  for (var i = lane; i < 2 * packet[enter_at(number, ENTER_BIAS_COUNT)]; i += LANES) {
    state[bias_at(slot, i)] = packet[bias + i];
  }
  for (var i = lane; i < packet[enter_at(number, ENTER_STOPS_COUNT)]; i += LANES) {
    state[stops_at(slot, i)] = packet[stops + i];
  }
  for (var i = lane; i < state[LAYOUT_CACHES] * state[LAYOUT_BLOCKS_PER_SEQUENCE]; i += LANES) {
    state[table_at(slot, 0, i)] = -1;
  }
  if (lane == 0) {
    enter_settings(number, slot);
  }
}

fn enter_settings(number: i32, slot: i32) {
  state[slot_at(slot, SLOT_LENGTH)] = packet[enter_at(number, ENTER_HISTORY_COUNT)];
  state[slot_at(slot, SLOT_PROMPT_LENGTH)] = packet[enter_at(number, ENTER_PROMPT_LENGTH)];
  state[slot_at(slot, SLOT_LIMIT)] = packet[enter_at(number, ENTER_LIMIT)];
  state[slot_at(slot, SLOT_STOPS_COUNT)] = packet[enter_at(number, ENTER_STOPS_COUNT)];
  state[slot_at(slot, SLOT_TEMPERATURE)] = packet[enter_at(number, ENTER_TEMPERATURE)];
  state[slot_at(slot, SLOT_TOP_K)] = packet[enter_at(number, ENTER_TOP_K)];
  state[slot_at(slot, SLOT_TOP_P)] = packet[enter_at(number, ENTER_TOP_P)];
  state[slot_at(slot, SLOT_MIN_P)] = packet[enter_at(number, ENTER_MIN_P)];
  state[slot_at(slot, SLOT_PRESENCE)] = packet[enter_at(number, ENTER_PRESENCE)];
  state[slot_at(slot, SLOT_FREQUENCY)] = packet[enter_at(number, ENTER_FREQUENCY)];
  state[slot_at(slot, SLOT_REPETITION)] = packet[enter_at(number, ENTER_REPETITION)];
  state[slot_at(slot, SLOT_SEED_LOW)] = packet[enter_at(number, ENTER_SEED_LOW)];
  state[slot_at(slot, SLOT_SEED_HIGH)] = packet[enter_at(number, ENTER_SEED_HIGH)];
  state[slot_at(slot, SLOT_CHOICE)] = packet[enter_at(number, ENTER_CHOICE)];
  state[slot_at(slot, SLOT_LOGPROBS)] = packet[enter_at(number, ENTER_LOGPROBS)];
  state[slot_at(slot, SLOT_BIAS_COUNT)] = packet[enter_at(number, ENTER_BIAS_COUNT)];
}

fn edit_table(number: i32, lane: i32) {
  let slot = packet[edit_at(number, TABLE_SLOT)];
  let cache = packet[edit_at(number, TABLE_CACHE)];
  let first = packet[edit_at(number, TABLE_FIRST)];
  let blocks = pool_at(packet[edit_at(number, TABLE_BLOCKS)]);
  for (var i = lane; i < packet[edit_at(number, TABLE_COUNT)]; i += LANES) {
    state[table_at(slot, cache, first + i)] = packet[blocks + i];
  }
}

// A span's known tokens; the slot goes on from their first position.
fn take_tokens(span: i32, lane: i32) {
  let slot = packet[span_at(span, SPAN_SLOT)];
  let start = packet[span_at(span, SPAN_START)];
  let tokens = pool_at(packet[span_at(span, SPAN_TOKENS)]);
  for (var i = lane; i < packet[span_at(span, SPAN_COUNT)]; i += LANES) {
    state[history_at(slot, start + i)] = packet[tokens + i];
  }
  if (lane == 0) {
    state[slot_at(slot, SLOT_LENGTH)] = start;
  }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
  if (group.x != 0u) {
    return;
  }
  let lane = i32(index);
  for (var i = 0; i < packet[HEADER_ENTERS]; i++) {
    enter(i, lane);
    storageBarrier();
  }
  for (var i = 0; i < packet[HEADER_TABLES]; i++) {
    edit_table(i, lane);
    storageBarrier();
  }
  for (var span = 0; span < packet[HEADER_SPANS]; span++) {
    if (packet[span_at(span, SPAN_TOKENS)] != FROM_STATE) {
      take_tokens(span, lane);
    }
  }
  workgroupBarrier();
  storageBarrier();
  for (var span = lane; span < packet[HEADER_SPANS]; span += LANES) {
    state[slot_at(packet[span_at(span, SPAN_SLOT)], SLOT_STOPPED)] = 0;
  }
  if (lane == 0) {
    state[step_at(STEP_STEPS)] = packet[HEADER_STEPS];
    state[step_at(STEP_STEP)] = 0;
    state[step_at(STEP_RUNNING)] = packet[HEADER_SPANS];
  }
}
