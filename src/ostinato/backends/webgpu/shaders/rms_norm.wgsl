// rms_norm: a workgroup per row and group. The sum's order follows from the group's width alone. Needs tree.wgsl.

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let part = width / groups;
  let parts = uniform_word(row_count(), lane) * groups;
  for (var item = group.x; item < parts; item += workgroups.x) {
    let at = item * part;
    var own = 0.0;
    for (var i = lane; i < part; i += u32(LANES)) {
      let x = float_at(call.x + at + i);
      own = fma(x, x, own);
    }
    let mean = tree_sum(own, lane) / f32(part);
    let scale = 1.0 / sqrt(mean + eps);
    for (var i = lane; i < part; i += u32(LANES)) {
      set_float(call.out + at + i, float_at(call.x + at + i) * scale * gain[i]);
    }
  }
}
