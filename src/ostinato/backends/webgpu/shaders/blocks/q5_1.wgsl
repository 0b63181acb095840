// Q5_1: blocks of 32 with a scale and a minimum: x = d q + m. Planes: the low four bits of q (one vec4 a block;
// elements 0 .. 15 are the low nibbles), the fifth bits (one word a block), then d and m of every block, a word each.

const span_q5_1 = 1u;  // chunks that share one float term
const minima_q5_1 = true;

fn row_q5_1(row: u32) -> u32 {
  let blocks = columns / 32u;
  return row * (blocks + (blocks + 3u) / 4u * 2u);
}

fn chunk_q5_1(row: u32, chunk: u32) -> Chunk {
  let at = row_q5_1(row);
  let quants = stored[at + chunk];
  let fifth = stored[at + columns / 32u + chunk / 4u][chunk % 4u];
  return Chunk(nibbles(quants, 0u) | (spread_bits(fifth) << vec4<u32>(4u)),
               nibbles(quants, 4u) | (spread_bits(fifth >> 16u) << vec4<u32>(4u)), vec2<i32>(1), vec2<i32>(1));
}

// d and -m of a block: a minimum is taken off.
fn scales_q5_1(row: u32, block: u32) -> vec2<f32> {
  let blocks = columns / 32u;
  let word = stored[row_q5_1(row) + blocks + (blocks + 3u) / 4u + block / 4u][block % 4u];
  return vec2<f32>(float_of_half(word), -float_of_half(word >> 16u));
}
