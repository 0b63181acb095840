// Reductions over the lanes of a workgroup, by halving: their order is the same for every adapter. Each
// begins and ends with a barrier, and its result is uniform.

const LOWEST = -3.4028234e38;  // of float32

var<workgroup> tree: array<f32, LANES>;

fn tree_max(own: f32, lane: u32) -> f32 {
  workgroupBarrier();
  tree[lane] = own;
  for (var reach = u32(LANES) / 2u; reach > 0u; reach /= 2u) {
    workgroupBarrier();
    if (lane < reach) {
      tree[lane] = max(tree[lane], tree[lane + reach]);
    }
  }
  return workgroupUniformLoad(&tree[0]);
}

fn tree_sum(own: f32, lane: u32) -> f32 {
  workgroupBarrier();
  tree[lane] = own;
  for (var reach = u32(LANES) / 2u; reach > 0u; reach /= 2u) {
    workgroupBarrier();
    if (lane < reach) {
      tree[lane] += tree[lane + reach];
    }
  }
  return workgroupUniformLoad(&tree[0]);
}
