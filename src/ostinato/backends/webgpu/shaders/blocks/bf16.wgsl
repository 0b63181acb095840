// BF16: the upper halves of floats, two a word. `stored` is the weight's array; a row is padded to 16 bytes.

fn value_bf16(row: u32, column: u32) -> f32 {
  let word = stored[row * ((columns + 7u) / 8u * 4u) + column / 2u];
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, column % 2u == 1u));
}

fn element_bf16(row: u32, column: u32) -> f32 {
  return value_bf16(row, column);
}
