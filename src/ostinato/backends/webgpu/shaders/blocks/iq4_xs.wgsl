// IQ4_XS: blocks of 256 codes of four bits in 8 sub-blocks of 32: x = d (scale - 32) v, v by codes.wgsl. Planes:
// codes (8 vec4 a block, one a sub-block; elements 0 .. 15 are the low nibbles), then two words a block: d and the
// top two bits of eight scales, and their low four bits.

const span_iq4_xs = 8u;  // chunks that share one float term
const minima_iq4_xs = false;

fn row_iq4_xs(row: u32) -> u32 {
  let blocks = columns / 256u;
  return row * (8u * blocks + (blocks + 1u) / 2u);
}

fn header_iq4_xs(row: u32, block: u32) -> vec2<u32> {
  let headers = stored[row_iq4_xs(row) + columns / 32u + block / 2u];
  return select(headers.xy, headers.zw, block % 2u == 1u);
}

fn chunk_iq4_xs(row: u32, chunk: u32) -> Chunk {
  let codes = stored[row_iq4_xs(row) + chunk];
  let header = header_iq4_xs(row, chunk / 8u);
  let j = chunk % 8u;
  let scale = extractBits(header.y, 4u * j, 4u) | (extractBits(header.x, 16u + 2u * j, 2u) << 4u);
  return Chunk(meaning_iq4_xs(nibbles(codes, 0u)), meaning_iq4_xs(nibbles(codes, 4u)), vec2<i32>(i32(scale) - 32),
               vec2<i32>(0));
}

// d of a block; it has no minimum.
fn scales_iq4_xs(row: u32, block: u32) -> vec2<f32> {
  return vec2<f32>(float_of_half(header_iq4_xs(row, block).x), 0.0);
}
