// A chunk: 32 elements of a quantised weight, as every block format's `chunk` gives them. Element i stands for
// d scale q - dmin min: d and dmin are the format's `scales`, of `span` chunks together.

struct Chunk {
  low: vec4<u32>,  // q of elements 0 .. 15, signed bytes
  high: vec4<u32>,  // 16 .. 31
  scales: vec2<i32>,  // of either half
  mins: vec2<i32>,
}
