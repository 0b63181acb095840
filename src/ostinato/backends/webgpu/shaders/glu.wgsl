// glu: an invocation per element.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  for (var i = id.x; i < row_count() * width; i += groups.x * u32(LANES)) {
    set_float(call.out + i, activate(float_at(call.gate + i)) * float_at(call.up + i));
  }
}
