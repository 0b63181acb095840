// Q4_K: blocks of 256 in 8 sub-blocks of 32: x = d scale q - dmin min. A block is nine vec4: d, dmin and twelve bytes
// of scales and mins, then 128 bytes of which vec4 2p and 2p + 1 hold sub-blocks 2p (low nibbles) and 2p + 1. Needs
// six_bits.wgsl.

const span_q4_k = 8u;  // chunks that share one float term
const minima_q4_k = true;

fn block_q4_k(row: u32, block: u32) -> u32 {
  return (row * (columns / 256u) + block) * 9u;
}

fn chunk_q4_k(row: u32, chunk: u32) -> Chunk {
  let at = block_q4_k(row, chunk / 8u);
  let j = chunk % 8u;
  let quants = at + 1u + j / 2u * 2u;
  let nibble = j % 2u * 4u;
  let scale = six_bits(stored[at].yzw, j);
  return Chunk(nibbles(stored[quants], nibble), nibbles(stored[quants + 1u], nibble), scale.xx, scale.yy);
}

// d and dmin of a block.
fn scales_q4_k(row: u32, block: u32) -> vec2<f32> {
  let word = stored[block_q4_k(row, block)].x;
  return vec2<f32>(float_of_half(word), float_of_half(word >> 16u));
}
