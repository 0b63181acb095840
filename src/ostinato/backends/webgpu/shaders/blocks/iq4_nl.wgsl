// IQ4_NL: blocks of 32 codes of four bits with a float16 scale: x = d v, v by codes.wgsl. Planes: codes (one vec4 a
// block; elements 0 .. 15 are the low nibbles), then all d.

const span_iq4_nl = 1u;  // chunks that share one float term
const minima_iq4_nl = false;

fn row_iq4_nl(row: u32) -> u32 {
  let blocks = columns / 32u;
  return row * (blocks + (blocks + 7u) / 8u);
}

fn chunk_iq4_nl(row: u32, chunk: u32) -> Chunk {
  let codes = stored[row_iq4_nl(row) + chunk];
  return Chunk(meaning_iq4_nl(nibbles(codes, 0u)), meaning_iq4_nl(nibbles(codes, 4u)), vec2<i32>(1), vec2<i32>(0));
}

// d of a block; it has no minimum.
fn scales_iq4_nl(row: u32, block: u32) -> vec2<f32> {
  let halves = stored[row_iq4_nl(row) + columns / 32u + block / 8u];
  return vec2<f32>(half_of(halves, block % 8u), 0.0);
}
