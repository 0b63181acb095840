// Products of a float weight and floats: 64 lanes, each taking every 64th column, then halved (native/cpu/sums.md).
// Needs lanes.wgsl, tiles.wgsl and the phase's source_row.

// As matmul_blocks.wgsl's. Four weight rows at a time.
fn operand_products(x: u32, first: u32, count: u32, start: u32, rows: u32, lane: u32) -> array<f32, TILE_STEPS> {
  var sums: array<f32, TILE_STEPS>;
  for (var w = 0u; w < count; w += 4u) {
    let four = vec4<u32>(first) + min(vec4<u32>(w, w + 1u, w + 2u, w + 3u), vec4<u32>(count - 1u));
    for (var i = 0u; i * 4u < rows; i++) {
      halve_lanes(operand_lane(x, four, start + i * 4u, min(rows - i * 4u, 4u), lane), lane);
      if (lane / 16u == w / 4u) {
        sums[i] = lane_sums[lane % 4u * 64u][lane / 4u % 4u];
      }
    }
  }
  return sums;
}

// What one lane adds up: of four activation rows (as many as there are) times four weight rows.
fn operand_lane(x: u32, four: vec4<u32>, start: u32, rows: u32, lane: u32) -> mat4x4<f32> {
  var sums: mat4x4<f32>;
  let at = vec4<u32>(source_row(start), source_row(start + min(1u, rows - 1u)), source_row(start + min(2u, rows - 1u)),
                     source_row(start + rows - 1u)) * columns + vec4<u32>(x);
  for (var c = lane; c < columns; c += TILE_LANES) {
    let w = vec4<f32>(operand_value(four.x, c), operand_value(four.y, c), operand_value(four.z, c),
                      operand_value(four.w, c));
    sums[0] = fma(w, vec4<f32>(float_at(at.x + c)), sums[0]);
    if (rows > 1u) {
      sums[1] = fma(w, vec4<f32>(float_at(at.y + c)), sums[1]);
      sums[2] = fma(w, vec4<f32>(float_at(at.z + c)), sums[2]);
      sums[3] = fma(w, vec4<f32>(float_at(at.w + c)), sums[3]);
    }
  }
  return sums;
}
