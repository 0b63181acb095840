// Prefix sums over the lanes of a workgroup.

var<workgroup> scanned: array<vec4<i32>, LANES>;

// scanned[lane] becomes the sum of the values of lanes 0 .. lane. A barrier must stand before the next scan.
fn scan(lane: i32, value: vec4<i32>) {
  scanned[lane] = value;
  for (var reach = 1; reach < LANES; reach *= 2) {
    workgroupBarrier();
    var before = vec4<i32>();
    if (lane >= reach) {
      before = scanned[lane - reach];
    }
    workgroupBarrier();
    scanned[lane] += before;
  }
  workgroupBarrier();
}
