// attend_split: a workgroup per generated row, head and split.

var<workgroup> most_splits: atomic<i32>;

// Splits of the longest row: no loop needs to go further.
fn find_most_splits(lane: u32) -> u32 {
  if (lane == 0u) {
    atomicStore(&most_splits, 0);
  }
  workgroupBarrier();
  for (var row = i32(lane); row < divided_rows(); row += LANES) {
    let position = row_position(u32(state[step_at(STEP_PROMPT_ROWS)] + row));
    atomicMax(&most_splits, select(splits(position), 0, position == INACTIVE));
  }
  workgroupBarrier();
  return uniform_word(u32(atomicLoad(&most_splits)), lane);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let rows = uniform_word(u32(divided_rows()), lane);
  let most = find_most_splits(lane);
  for (var item = group.x; item < rows * heads * most; item += groups.x) {
    let split = item % most;
    let head = item / most % heads;
    let generated = item / most / heads;
    let row = u32(state[step_at(STEP_PROMPT_ROWS)]) + generated;
    let position = i32(uniform_word(u32(row_position(row)), lane));
    let first = i32(split) * ATTEND_SPLIT;
    if (position != INACTIVE && first <= position) {
      load_query(row, head, lane);
      let last = min(first + ATTEND_SPLIT, position + 1);
      let piece = attend_piece(row_slot(row), first, last, head / (heads / kv_heads), lane);
      let place = partial_at(generated, head, split);
      if (lane == 0u) {
        set_float(place, piece.highest);
        set_float(place + 1u, piece.sum);
      }
      if (lane < value_dim) {
        set_float(place + 2u + lane, piece.value);
      }
    }
  }
}
