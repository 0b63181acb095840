// Q4_1: blocks of 32 nibbles with a scale and a minimum: x = d q + m. Planes: quants (one vec4 a block; elements 0 ..
// 15 are the low nibbles), then d and m of every block, a word each.

const span_q4_1 = 1u;  // chunks that share one float term
const minima_q4_1 = true;

fn row_q4_1(row: u32) -> u32 {
  let blocks = columns / 32u;
  return row * (blocks + (blocks + 3u) / 4u);
}

fn chunk_q4_1(row: u32, chunk: u32) -> Chunk {
  let quants = stored[row_q4_1(row) + chunk];
  return Chunk(nibbles(quants, 0u), nibbles(quants, 4u), vec2<i32>(1), vec2<i32>(1));
}

// d and -m of a block: a minimum is taken off.
fn scales_q4_1(row: u32, block: u32) -> vec2<f32> {
  let word = stored[row_q4_1(row) + columns / 32u + block / 4u][block % 4u];
  return vec2<f32>(float_of_half(word), -float_of_half(word >> 16u));
}
