// experts_out: a workgroup per bucket and tile of weight rows. Results go where the assignments stand. Needs
// buckets.wgsl.

fn source_row(sorted: u32) -> u32 {
  return sorted;
}

// Weight rows w .. w + many of the bucket's expert, whose first weight row is `at`, for all its sorted rows.
fn take_tile(at: u32, w: u32, many: u32, sorted: vec2<u32>, lane: u32) {
  for (var start = sorted.x; start < sorted.y; start += TILE_ROWS) {
    let rows = min(sorted.y - start, TILE_ROWS);
    var sums = down_products(call.x, at + w, many, start, rows, lane);
    for (var i = 0u; i < TILE_STEPS; i++) {
      let row = 4u * i + lane % 4u;
      if (lane / 4u < many && row < rows) {
        set_float(call.out + arena[call.order + start + row] * n + w + lane / 4u, sums[i]);
      }
    }
  }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let across = (n + tile_weights() - 1u) / tile_weights();
  for (var item = group.x; item < 2u * call.count * across; item += groups.x) {
    let w = item % across * tile_weights();
    let sorted = bucket_rows(bucket_of(item / across), lane);
    take_tile(item / across % call.count * n, w, min(n - w, tile_weights()), sorted, lane);
  }
}
