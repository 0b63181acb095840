// One chunk of weights times one of activations, and the workgroup's memory for such parts. Needs chunk.wgsl, a dot4.

struct Activations {
  low: vec4<u32>,  // elements 0 .. 15, signed bytes
  high: vec4<u32>,
  sums: vec2<i32>,  // over either half
}

// [weight row][activation row of four][chunk side by side]: sums with scales and with mins, later float terms.
var<workgroup> parts: array<vec2<u32>, 1024>;

fn dot16(a: vec4<u32>, b: vec4<u32>) -> i32 {
  return dot4(a.x, b.x) + dot4(a.y, b.y) + dot4(a.z, b.z) + dot4(a.w, b.w);
}

fn multiply_chunk(w: Chunk, a: Activations) -> vec2<u32> {
  let halves = vec2<i32>(dot16(w.low, a.low), dot16(w.high, a.high)) * w.scales;
  let mins = w.mins * a.sums;
  return bitcast<vec2<u32>>(vec2<i32>(halves.x + halves.y, mins.x + mins.y));
}
