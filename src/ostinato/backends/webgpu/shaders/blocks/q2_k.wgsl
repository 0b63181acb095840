// Q2_K: blocks of 256 in 16 sub-blocks of 16: x = d scale q - dmin min. Planes: scales (low nibbles) and mins (one
// vec4 a block), q (4 vec4; bits 2r and 2r + 1 of a half's 32 bytes are its run r of 32 elements), then d and dmin of
// every block, a word each.

const span_q2_k = 8u;  // chunks that share one float term
const minima_q2_k = true;

fn row_q2_k(row: u32) -> u32 {
  let blocks = columns / 256u;
  return row * (5u * blocks + (blocks + 3u) / 4u);
}

fn chunk_q2_k(row: u32, chunk: u32) -> Chunk {
  let at = row_q2_k(row);
  let quants = at + columns / 256u + chunk / 4u * 2u;
  let run = vec4<u32>(chunk % 4u * 2u);
  let mask = vec4<u32>(0x03030303u);
  let both = half_word(stored[at + chunk / 8u], chunk % 8u);
  let scales = vec2<u32>(both, both >> 8u) & vec2<u32>(15u);
  let mins = vec2<u32>(both >> 4u, both >> 12u) & vec2<u32>(15u);
  return Chunk((stored[quants] >> run) & mask, (stored[quants + 1u] >> run) & mask, vec2<i32>(scales), vec2<i32>(mins));
}

// d and dmin of a block.
fn scales_q2_k(row: u32, block: u32) -> vec2<f32> {
  let blocks = columns / 256u;
  let word = stored[row_q2_k(row) + 5u * blocks + block / 4u][block % 4u];
  return vec2<f32>(float_of_half(word), float_of_half(word >> 16u));
}
