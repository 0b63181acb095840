// select: an invocation per element of the logit rows.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let rows = u32(state[step_at(STEP_LOGIT_ROWS)]);
  for (var i = id.x; i < rows * width; i += groups.x * u32(LANES)) {
    let row = u32(state[state[LAYOUT_LOGIT_ROW] + i32(i / width)]);
    arena[call.out + i] = arena[call.x + row * width + i % width];
  }
}
