// Sums of 64 float lanes: lanes i and i + 32 are added, of the result i and i + 16, down to one (native/cpu/sums.md).

// A vec4 (weight rows) for each lane and each of four activation rows.
var<workgroup> lane_sums: array<vec4<f32>, 256>;

// All four rows at once; lane 0 of each row then holds its sums. Begins and ends with a barrier.
fn halve_lanes(rows: mat4x4<f32>, lane: u32) {
  workgroupBarrier();
  for (var r = 0u; r < 4u; r++) {
    lane_sums[r * 64u + lane] = rows[r];
  }
  for (var reach = 32u; reach > 0u; reach /= 2u) {
    workgroupBarrier();
    for (var i = lane; i < 4u * reach; i += 64u) {
      let at = i / reach * 64u + i % reach;
      lane_sums[at] += lane_sums[at + reach];
    }
  }
  workgroupBarrier();
}
