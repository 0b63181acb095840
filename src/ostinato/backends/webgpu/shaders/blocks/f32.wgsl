// F32: plain floats. `stored` is the weight's array; a row is padded to 16 bytes.

fn value_f32(row: u32, column: u32) -> f32 {
  return stored[row * ((columns + 3u) / 4u * 4u) + column];
}

fn element_f32(row: u32, column: u32) -> f32 {
  return value_f32(row, column);
}
