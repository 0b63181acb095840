// Q4_0: blocks of 32 nibbles with a float16 scale: x = d (q - 8). Planes: quants (one vec4 a block; elements 0 .. 15
// are the low nibbles), then all d.

const span_q4_0 = 1u;  // chunks that share one float term
const minima_q4_0 = false;

fn row_q4_0(row: u32) -> u32 {
  let blocks = columns / 32u;
  return row * (blocks + (blocks + 7u) / 8u);
}

fn chunk_q4_0(row: u32, chunk: u32) -> Chunk {
  let quants = stored[row_q4_0(row) + chunk];
  return Chunk(centred(nibbles(quants, 0u), 8u), centred(nibbles(quants, 4u), 8u), vec2<i32>(1), vec2<i32>(0));
}

// d of a block; it has no minimum.
fn scales_q4_0(row: u32, block: u32) -> vec2<f32> {
  let halves = stored[row_q4_0(row) + columns / 32u + block / 8u];
  return vec2<f32>(half_of(halves, block % 8u), 0.0);
}
