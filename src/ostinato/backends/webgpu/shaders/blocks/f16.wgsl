// F16: two halves a word. `stored` is the weight's array; a row is padded to 16 bytes. Needs bits.wgsl.

fn value_f16(row: u32, column: u32) -> f32 {
  let word = stored[row * ((columns + 7u) / 8u * 4u) + column / 2u];
  return float_of_half(word >> (column % 2u * 16u));
}

fn element_f16(row: u32, column: u32) -> f32 {
  return value_f16(row, column);
}
