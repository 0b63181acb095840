// combine: an invocation per element adds its row's assignments in their order.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  for (var i = id.x; i < row_count() * width; i += groups.x * u32(LANES)) {
    let assignments = i / width * top_k;
    var sum = 0.0;
    for (var j = 0u; j < top_k; j++) {
      let e = float_at(call.e + (assignments + j) * width + i % width);
      sum = fma(float_at(call.weights + assignments + j), e, sum);
    }
    set_float(call.out + i, sum);
  }
}
