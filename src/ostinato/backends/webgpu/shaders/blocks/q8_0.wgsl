// Q8_0: blocks of 32 signed bytes with a float16 scale: x = d q. Planes: quants (two vec4 a block), then all d.

const span_q8_0 = 1u;  // chunks that share one float term
const minima_q8_0 = false;

fn row_q8_0(row: u32) -> u32 {
  let blocks = columns / 32u;
  return row * (2u * blocks + (blocks + 7u) / 8u);
}

fn chunk_q8_0(row: u32, chunk: u32) -> Chunk {
  let at = row_q8_0(row) + 2u * chunk;
  return Chunk(stored[at], stored[at + 1u], vec2<i32>(1), vec2<i32>(0));
}

// d of a block; it has no minimum.
fn scales_q8_0(row: u32, block: u32) -> vec2<f32> {
  let halves = stored[row_q8_0(row) + columns / 16u + block / 8u];
  return vec2<f32>(half_of(halves, block % 8u), 0.0);
}
