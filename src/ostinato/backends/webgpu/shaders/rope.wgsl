// rope: an invocation per two elements of a head: a pair that turns, or two behind the first `dims` that stay.

fn pair_of(i: u32) -> vec2<u32> {
  if (i >= dims / 2u || style == u32(ROPE_STYLE_NORM)) {
    return vec2<u32>(2u * i, 2u * i + 1u);
  }
  return vec2<u32>(i, i + dims / 2u);
}

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let pairs = width / heads / 2u;
  for (var i = id.x; i < u32(step_rows()) * heads * pairs; i += groups.x * u32(LANES)) {
    let at = pair_of(i % pairs) + vec2<u32>(i / pairs * 2u * pairs);
    let x = vec2<f32>(float_at(call.x + at.x), float_at(call.x + at.y));
    var turn = vec2<f32>(1.0, 0.0);
    if (i % pairs < dims / 2u) {
      let angle = call.angles + i / pairs / heads * dims + i % pairs * 2u;
      turn = vec2<f32>(float_at(angle), float_at(angle + 1u));
    }
    set_float(call.out + at.x, x.x * turn.x - x.y * turn.y);
    set_float(call.out + at.y, x.x * turn.y + x.y * turn.x);
  }
}
