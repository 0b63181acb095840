// Q5_0: blocks of 32 with a float16 scale: x = d (q - 16). Planes: the low four bits of q (one vec4 a block; elements
// 0 .. 15 are the low nibbles), the fifth bits (one word a block), then all d.

const span_q5_0 = 1u;  // chunks that share one float term
const minima_q5_0 = false;

fn row_q5_0(row: u32) -> u32 {
  let blocks = columns / 32u;
  return row * (blocks + (blocks + 3u) / 4u + (blocks + 7u) / 8u);
}

fn chunk_q5_0(row: u32, chunk: u32) -> Chunk {
  let at = row_q5_0(row);
  let quants = stored[at + chunk];
  let fifth = stored[at + columns / 32u + chunk / 4u][chunk % 4u];
  return Chunk(centred(nibbles(quants, 0u) | (spread_bits(fifth) << vec4<u32>(4u)), 16u),
               centred(nibbles(quants, 4u) | (spread_bits(fifth >> 16u) << vec4<u32>(4u)), 16u),
               vec2<i32>(1), vec2<i32>(0));
}

// d of a block; it has no minimum.
fn scales_q5_0(row: u32, block: u32) -> vec2<f32> {
  let blocks = columns / 32u;
  let halves = stored[row_q5_0(row) + blocks + (blocks + 3u) / 4u + block / 8u];
  return vec2<f32>(half_of(halves, block % 8u), 0.0);
}
