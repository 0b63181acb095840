// attend_merge: an invocation per element of a generated row adds its pieces in order, as attend does.

fn merge_element(generated: u32, head: u32, element: u32) {
  let row = u32(state[step_at(STEP_PROMPT_ROWS)]) + generated;
  let position = row_position(row);
  var out = 0.0;
  if (position != INACTIVE) {
    var whole = no_piece();
    for (var split = 0; split < splits(position); split++) {
      let place = partial_at(generated, head, u32(split));
      whole = merged(whole, Piece(float_at(place), float_at(place + 1u), float_at(place + 2u + element)));
    }
    out = normalised(whole);
  }
  set_float(call.out + (row * heads + head) * value_dim + element, out);
}

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let width = heads * value_dim;
  for (var i = id.x; i < u32(divided_rows()) * width; i += groups.x * u32(LANES)) {
    merge_element(i / width, i / value_dim % heads, i % value_dim);
  }
}
