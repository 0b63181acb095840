// finish: slots advance by their rows, and those of a run that may draw no more stop. One workgroup, a lane
// per span.

var<workgroup> running: atomic<i32>;

// Every span of a run samples, so that its number is its draw's.
fn drawn_token(span: i32) -> i32 {
  let at = (state[step_at(STEP_STEP)] * state[LAYOUT_MAX_SEQUENCES] + span) * DRAWN_WORDS;
  return i32(result[at + DRAWN_TOKEN]);
}

fn advance(span: i32) {
  let slot = packet[span_at(span, SPAN_SLOT)];
  if (state[slot_at(slot, SLOT_STOPPED)] != 0) {
    return;
  }
  state[slot_at(slot, SLOT_LENGTH)] += packet[span_at(span, SPAN_COUNT)];
  var stopped = 0;
  if (state[step_at(STEP_STEPS)] > 1) {
    stopped = why_stopped(slot, drawn_token(span));
  }
  state[slot_at(slot, SLOT_STOPPED)] = stopped;
  atomicAdd(&running, i32(stopped == 0));
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
  if (group.x != 0u) {
    return;
  }
  if (index == 0u) {
    atomicStore(&running, 0);
  }
  workgroupBarrier();
  for (var span = i32(index); span < packet[HEADER_SPANS]; span += LANES) {
    advance(span);
  }
  workgroupBarrier();
  if (index == 0u) {
    state[step_at(STEP_RUNNING)] = atomicLoad(&running);
    state[step_at(STEP_STEP)] += 1;
  }
}
