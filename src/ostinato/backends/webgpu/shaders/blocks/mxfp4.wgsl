// MXFP4: blocks of 32 codes of four bits with an exponent: x = 2^(e - 128) v, v by codes.wgsl. Planes: codes (one
// vec4 a block; elements 0 .. 15 are the low nibbles), then all e, a byte each.

const span_mxfp4 = 1u;  // chunks that share one float term
const minima_mxfp4 = false;

fn row_mxfp4(row: u32) -> u32 {
  let blocks = columns / 32u;
  return row * (blocks + (blocks + 15u) / 16u);
}

fn chunk_mxfp4(row: u32, chunk: u32) -> Chunk {
  let codes = stored[row_mxfp4(row) + chunk];
  return Chunk(meaning_mxfp4(nibbles(codes, 0u)), meaning_mxfp4(nibbles(codes, 4u)), vec2<i32>(1), vec2<i32>(0));
}

// 2^(e - 128) of a block; it has no minimum.
fn scales_mxfp4(row: u32, block: u32) -> vec2<f32> {
  let words = stored[row_mxfp4(row) + columns / 32u + block / 16u];
  let e = extractBits(words[block / 4u % 4u], block % 4u * 8u, 8u);
  let pattern = select((e - 1u) << 23u, 0x00200000u << e, e < 2u);  // 2^-128 and 2^-127 are subnormal
  return vec2<f32>(bitcast<f32>(pattern), 0.0);
}
