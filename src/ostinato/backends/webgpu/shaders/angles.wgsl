// angles: an invocation per row and pair. `frequencies` are base^(-2i/dims), made by the host, since WGSL's pow is too
// coarse. The products are float32, as the reference's are. Needs divide.wgsl, turn.wgsl.

fn frequency_of(i: u32) -> f32 {
  if (has_factors != 0u) {
    return divide_exactly(frequencies[i], factors[i]);
  }
  return frequencies[i];
}

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let pairs = dims / 2u;
  for (var i = id.x; i < u32(step_rows()) * pairs; i += groups.x * u32(LANES)) {
    let position = max(row_position(i / pairs), 0);
    let turn = cos_sin(f32(position) * scale * frequency_of(i % pairs));
    set_float(call.out + 2u * i, turn.x);
    set_float(call.out + 2u * i + 1u, turn.y);
  }
}
