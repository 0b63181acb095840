// Q6_K: blocks of 256 in 16 sub-blocks of 16: x = d scale (q - 32). Planes: the low four bits (8 vec4 a block), the
// top two (4 vec4), the scales (one), then all d. Half a block is four runs of 32: runs 0 and 1 are the low nibbles of
// its 64 bytes, 2 and 3 the high ones; bits 2r and 2r + 1 of its 32 other bytes belong to run r.

const span_q6_k = 8u;  // chunks that share one float term
const minima_q6_k = false;

fn row_q6_k(row: u32) -> u32 {
  let blocks = columns / 256u;
  return row * (13u * blocks + (blocks + 7u) / 8u);
}

// q - 32 of 16 elements, as signed bytes.
fn quants_q6_k(low: vec4<u32>, high: vec4<u32>) -> vec4<u32> {
  return centred((low & vec4<u32>(0x0f0f0f0fu)) | ((high & vec4<u32>(0x03030303u)) << vec4<u32>(4u)), 32u);
}

fn chunk_q6_k(row: u32, chunk: u32) -> Chunk {
  let blocks = columns / 256u;
  let at = row_q6_k(row);
  let run = chunk % 4u;
  let low = at + chunk / 4u * 4u + run % 2u * 2u;
  let high = at + 8u * blocks + chunk / 4u * 2u;
  let nibble = vec4<u32>(run / 2u * 4u);
  let pair = vec4<u32>(run * 2u);
  let scales = half_word(stored[at + 12u * blocks + chunk / 8u], chunk % 8u);
  return Chunk(quants_q6_k(stored[low] >> nibble, stored[high] >> pair),
               quants_q6_k(stored[low + 1u] >> nibble, stored[high + 1u] >> pair),
               vec2<i32>(extractBits(bitcast<i32>(scales), 0u, 8u), extractBits(bitcast<i32>(scales), 8u, 8u)),
               vec2<i32>(0));
}

// d of a block; it has no minimum.
fn scales_q6_k(row: u32, block: u32) -> vec2<f32> {
  let halves = stored[row_q6_k(row) + 13u * (columns / 256u) + block / 8u];
  return vec2<f32>(half_of(halves, block % 8u), 0.0);
}
