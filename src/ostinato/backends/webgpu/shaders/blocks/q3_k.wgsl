// Q3_K: blocks of 256 in 16 sub-blocks of 16: x = d (scale - 32) (q - 4). Planes: the third bits of q (2 vec4 a
// block; bit r of byte l is that of element 32 r + l), the low two (4 vec4; bits 2r and 2r + 1 of a half's 32 bytes
// are its run r of 32 elements), twelve bytes of scales, then all d.

const span_q3_k = 8u;  // chunks that share one float term
const minima_q3_k = false;

fn row_q3_k(row: u32) -> u32 {
  let blocks = columns / 256u;
  return row * (6u * blocks + (3u * blocks + 3u) / 4u + (blocks + 7u) / 8u);
}

// q - 4 of 16 elements, as signed bytes.
fn quants_q3_k(low: vec4<u32>, high: vec4<u32>, chunk: u32) -> vec4<u32> {
  let pairs = (low >> vec4<u32>(chunk % 4u * 2u)) & vec4<u32>(0x03030303u);
  let third = (high >> vec4<u32>(chunk % 8u)) & vec4<u32>(0x01010101u);
  return centred(pairs | (third << vec4<u32>(2u)), 4u);
}

// Word i of the scales' plane of a row.
fn scale_word_q3_k(row: u32, i: u32) -> u32 {
  return stored[row_q3_k(row) + 6u * (columns / 256u) + i / 4u][i % 4u];
}

// Both scales of a chunk. The low four bits of scales 0 .. 7 are the low nibbles of eight bytes, of 8 .. 15 the high
// ones; four bytes more hold the top two: of scale j in byte j % 4, from bit j / 4 * 2 on.
fn scale_pair_q3_k(row: u32, chunk: u32) -> vec2<i32> {
  let words = chunk / 8u * 3u;
  let first = chunk % 8u * 2u;
  let low = scale_word_q3_k(row, words + first / 4u % 2u) >> (first % 4u * 8u + first / 8u * 4u);
  let top = scale_word_q3_k(row, words + 2u) >> (first % 4u * 8u + first / 4u * 2u);
  let tops = (vec2<u32>(top, top >> 8u) & vec2<u32>(3u)) << vec2<u32>(4u);
  return vec2<i32>((vec2<u32>(low, low >> 8u) & vec2<u32>(15u)) | tops) - vec2<i32>(32);
}

fn chunk_q3_k(row: u32, chunk: u32) -> Chunk {
  let at = row_q3_k(row);
  let high = at + chunk / 8u * 2u;
  let low = at + 2u * (columns / 256u) + chunk / 4u * 2u;
  return Chunk(quants_q3_k(stored[low], stored[high], chunk), quants_q3_k(stored[low + 1u], stored[high + 1u], chunk),
               scale_pair_q3_k(row, chunk), vec2<i32>(0));
}

// d of a block; it has no minimum.
fn scales_q3_k(row: u32, block: u32) -> vec2<f32> {
  let blocks = columns / 256u;
  let halves = stored[row_q3_k(row) + 6u * blocks + (3u * blocks + 3u) / 4u + block / 8u];
  return vec2<f32>(half_of(halves, block % 8u), 0.0);
}
