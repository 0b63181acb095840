// Q4_K: blocks of 256 in 8 sub-blocks of 32: x = d scale q - dmin min. A block is nine vec4: d, dmin and twelve bytes
// of scales and mins, then 128 bytes of which vec4 2p and 2p + 1 hold sub-blocks 2p (low nibbles) and 2p + 1.

const span_q4_k = 8u;  // chunks that share one float term

fn block_q4_k(row: u32, block: u32) -> u32 {
  return (row * (columns / 256u) + block) * 9u;
}

// Six bits each: scale and minimum of sub-block j from the three words of four bytes.
fn six_bits_q4_k(words: vec3<u32>, j: u32) -> vec2<i32> {
  let shift = j % 4u * 8u;
  let bytes = words >> vec3<u32>(shift);
  if (j < 4u) {
    return vec2<i32>(bytes.xy & vec2<u32>(63u));
  }
  let low = vec2<u32>(bytes.z, bytes.z >> 4u) & vec2<u32>(15u);
  return vec2<i32>(low | ((bytes.xy >> vec2<u32>(2u)) & vec2<u32>(48u)));
}

fn chunk_q4_k(row: u32, chunk: u32) -> Chunk {
  let at = block_q4_k(row, chunk / 8u);
  let j = chunk % 8u;
  let quants = at + 1u + j / 2u * 2u;
  let nibble = vec4<u32>(j % 2u * 4u);
  let mask = vec4<u32>(0x0f0f0f0fu);
  let scale = six_bits_q4_k(stored[at].yzw, j);
  return Chunk((stored[quants] >> nibble) & mask, (stored[quants + 1u] >> nibble) & mask, scale.xx, scale.yy);
}

// d and dmin of a block.
fn scales_q4_k(row: u32, block: u32) -> vec2<f32> {
  let word = stored[block_q4_k(row, block)].x;
  return vec2<f32>(float_of_half(word), float_of_half(word >> 16u));
}
