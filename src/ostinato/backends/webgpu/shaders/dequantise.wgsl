// One element of a quantised weight.

fn operand_element(row: u32, column: u32) -> f32 {
  let chunk = operand_chunk(row, column / 32u);
  let unit = operand_scales(row, column / 32u / operand_span);
  let byte = column % 16u;
  let upper = column % 32u >= 16u;
  let word = select(chunk.low, chunk.high, upper)[byte / 4u];
  let q = extractBits(bitcast<i32>(word), byte % 4u * 8u, 8u);
  let scale = select(chunk.scales.x, chunk.scales.y, upper);
  let low = select(chunk.mins.x, chunk.mins.y, upper);
  return fma(unit.x, f32(scale * q), -(unit.y * f32(low)));
}
