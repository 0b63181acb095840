// Q5_K: Q4_K with a fifth bit: x = d scale q - dmin min. A block is eleven vec4: d, dmin and twelve bytes of scales and
// mins; two vec4 whose bit j of byte l is the fifth of element 32 j + l; 128 bytes of low bits as in Q4_K. Needs
// six_bits.wgsl.

const span_q5_k = 8u;  // chunks that share one float term
const minima_q5_k = true;

fn block_q5_k(row: u32, block: u32) -> u32 {
  return (row * (columns / 256u) + block) * 11u;
}

fn quants_q5_k(low: vec4<u32>, high: vec4<u32>, j: u32) -> vec4<u32> {
  return nibbles(low, j % 2u * 4u) | (((high >> vec4<u32>(j)) & vec4<u32>(0x01010101u)) << vec4<u32>(4u));
}

fn chunk_q5_k(row: u32, chunk: u32) -> Chunk {
  let at = block_q5_k(row, chunk / 8u);
  let j = chunk % 8u;
  let low = at + 3u + j / 2u * 2u;
  let scale = six_bits(stored[at].yzw, j);
  return Chunk(quants_q5_k(stored[low], stored[at + 1u], j), quants_q5_k(stored[low + 1u], stored[at + 2u], j),
               scale.xx, scale.yy);
}

// d and dmin of a block.
fn scales_q5_k(row: u32, block: u32) -> vec2<f32> {
  let word = stored[block_q5_k(row, block)].x;
  return vec2<f32>(float_of_half(word), float_of_half(word >> 16u));
}
