// A chunk: 32 elements of a quantised weight, as every block format's `chunk` gives them. Element i stands for
// d scale q - dmin min: d and dmin are the format's `scales`, of `span` chunks together.

struct Chunk {
  low: vec4<u32>,  // q of elements 0 .. 15, signed bytes
  high: vec4<u32>,  // 16 .. 31
  scales: vec2<i32>,  // of either half
  mins: vec2<i32>,
}

// u - zero as signed bytes, of bytes u below 2 zero, a power of two: the highest bit of u, turned, is the sign.
fn centred(u: vec4<u32>, zero: u32) -> vec4<u32> {
  let flipped = u ^ vec4<u32>(zero * 0x01010101u);
  return flipped | ((flipped & vec4<u32>(zero * 0x01010101u)) * (256u / zero - 2u));
}

// The low 16 bits, one a byte.
fn spread_bits(bits: u32) -> vec4<u32> {
  let four = (vec4<u32>(bits) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u);
  return (four * 0x00204081u) & vec4<u32>(0x01010101u);  // bit i stands i places left of where its copy i begins
}

// The lower or upper nibbles (shift 0 or 4) of 16 bytes.
fn nibbles(bytes: vec4<u32>, shift: u32) -> vec4<u32> {
  return (bytes >> vec4<u32>(shift)) & vec4<u32>(0x0f0f0f0fu);
}
