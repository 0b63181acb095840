// rows: the rows, logit rows and draws of the step at hand, from the packet's spans and the slots. One
// workgroup, a lane per span, 256 spans at a time.

// What a span adds to a step, and the words of `scanned` that count it.
const ROWS = 0;
const LOGIT_ROWS = 1;
const DRAWS = 2;
const PROMPT_LOGIT_ROWS = 3;

fn amounts(span: i32) -> vec4<i32> {
  if (span >= packet[HEADER_SPANS]) {
    return vec4<i32>();
  }
  let logit_rows = packet[span_at(span, SPAN_LOGIT_ROWS)];
  let prompt = packet[span_at(span, SPAN_KIND)] == KIND_PROMPT;
  return vec4<i32>(packet[span_at(span, SPAN_COUNT)], logit_rows, packet[span_at(span, SPAN_SAMPLE)],
                   select(0, logit_rows, prompt));
}

// The lane whose span holds item `item` of what `word` counts.
fn lane_of(item: i32, word: i32) -> i32 {
  var low = 0;
  var high = LANES - 1;
  while (low < high) {
    let middle = (low + high) / 2;
    if (scanned[middle][word] <= item) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

fn write_row(span: i32, row: i32, index: i32) {
  let slot = packet[span_at(span, SPAN_SLOT)];
  let position = state[slot_at(slot, SLOT_LENGTH)] + index;
  let stopped = state[slot_at(slot, SLOT_STOPPED)] != 0;
  state[state[LAYOUT_ROW_SLOT] + row] = slot;
  state[state[LAYOUT_ROW_POSITION] + row] = select(position, INACTIVE, stopped);
  var token = 0;
  if (!stopped) {
    token = state[history_at(slot, position)];
  }
  state[state[LAYOUT_ROW_TOKEN] + row] = token;
}

// The first word of the slot's mask in the packet.
fn mask_of(slot: i32) -> i32 {
  for (var i = 0; i < packet[HEADER_MASKS]; i++) {
    if (packet[mask_at(i, MASK_SLOT)] == slot) {
      return pool_at(packet[mask_at(i, MASK_BITS)]);
    }
  }
  return NO_MASK;
}

fn write_draw(span: i32, draw: i32, logit_row: i32) {
  let slot = packet[span_at(span, SPAN_SLOT)];
  let position = state[slot_at(slot, SLOT_LENGTH)] + packet[span_at(span, SPAN_COUNT)];
  let at = state[LAYOUT_DRAW] + draw * DRAW_WORDS;
  state[at + DRAW_ROW] = logit_row;
  state[at + DRAW_SLOT] = slot;
  state[at + DRAW_POSITION] = select(position, INACTIVE, state[slot_at(slot, SLOT_STOPPED)] != 0);
  state[at + DRAW_MASK] = mask_of(slot);
}

// Everything that the spans first .. first + LANES make, `before` standing in front of it.
fn write_spans(first: i32, before: vec4<i32>, lane: i32) {
  let total = scanned[LANES - 1];
  for (var row = lane; row < total[ROWS]; row += LANES) {
    let i = lane_of(row, ROWS);
    let start = scanned[i][ROWS] - packet[span_at(first + i, SPAN_COUNT)];
    write_row(first + i, before[ROWS] + row, row - start);
  }
  for (var item = lane; item < total[LOGIT_ROWS]; item += LANES) {
    let i = lane_of(item, LOGIT_ROWS);
    let behind = scanned[i][LOGIT_ROWS] - item;  // the span's last row is 1 from its end
    state[state[LAYOUT_LOGIT_ROW] + before[LOGIT_ROWS] + item] = before[ROWS] + scanned[i][ROWS] - behind;
  }
  let span = first + lane;
  if (span < packet[HEADER_SPANS] && packet[span_at(span, SPAN_SAMPLE)] != 0) {
    let end = before + scanned[lane];
    write_draw(span, end[DRAWS] - 1, end[LOGIT_ROWS] - 1);
  }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
  if (group.x != 0u) {
    return;
  }
  let lane = i32(index);
  var before = vec4<i32>();
  for (var first = 0; first < packet[HEADER_SPANS]; first += LANES) {
    scan(lane, amounts(first + lane));
    write_spans(first, before, lane);
    before += scanned[LANES - 1];
    workgroupBarrier();
  }
  if (lane == 0) {
    state[step_at(STEP_ROWS)] = before[ROWS];
    state[step_at(STEP_PROMPT_ROWS)] = packet[HEADER_PROMPT_ROWS];
    state[step_at(STEP_LOGIT_ROWS)] = before[LOGIT_ROWS];
    state[step_at(STEP_PROMPT_LOGIT_ROWS)] = before[PROMPT_LOGIT_ROWS];
    state[step_at(STEP_DRAWS)] = before[DRAWS];
  }
}
