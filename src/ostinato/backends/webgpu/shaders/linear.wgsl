// linear: a workgroup per tile of weight rows and of activation rows.

fn source_row(row: u32) -> u32 {
  return row;
}

fn bias_of(i: u32) -> f32 {
  if (has_bias != 0u) {
    return bias[call.first + i];
  }
  return 0.0;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let rows = uniform_word(row_count(), lane);
  let across = (call.n + tile_weights() - 1u) / tile_weights();
  let down = (rows + TILE_ROWS - 1u) / TILE_ROWS;
  for (var item = group.x; item < across * down; item += groups.x) {
    let w = item % across * tile_weights();
    let start = item / across * TILE_ROWS;
    let count = min(call.n - w, tile_weights());
    var sums = weight_products(call.x, w, count, start, min(rows - start, TILE_ROWS), lane);
    for (var i = 0u; i < TILE_STEPS; i++) {
      let row = start + 4u * i + lane % 4u;
      if (lane / 4u < count && row < rows) {
        set_float(call.out + row * stride + w + lane / 4u, sums[i] + bias_of(w + lane / 4u));
      }
    }
  }
}
