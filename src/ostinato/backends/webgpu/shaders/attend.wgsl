// attend: a workgroup per row and head, its splits one after the other.

// Rows that attend_split does not take: of T the first so many.
fn whole_rows() -> i32 {
  return state[step_at(STEP_ROWS)] - divided_rows();
}

fn attend_row(slot: i32, position: i32, head: u32, lane: u32) -> f32 {
  var whole = no_piece();
  for (var first = 0; first <= position; first += ATTEND_SPLIT) {
    let last = min(first + ATTEND_SPLIT, position + 1);
    whole = merged(whole, attend_piece(slot, first, last, head / (heads / kv_heads), lane));
  }
  return normalised(whole);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let rows = uniform_word(u32(whole_rows()), lane);
  for (var item = group.x; item < rows * heads; item += groups.x) {
    let row = item / heads;
    let head = item % heads;
    let position = i32(uniform_word(u32(row_position(row)), lane));
    load_query(row, head, lane);
    var out = 0.0;
    if (position != INACTIVE) {
      out = attend_row(row_slot(row), position, head, lane);
    }
    if (lane < value_dim) {
      set_float(call.out + (row * heads + head) * value_dim + lane, out);
    }
  }
}
