// float16 out of words: exact, subnormals too, which unpack2x16float may take for zero.

const HALF_LEAST = 0x1p-14;  // the smallest normal float16

// Of the low 16 bits.
fn float_of_half(bits: u32) -> f32 {
  let size = (bits & 0x7fffu) << 13u;
  let sign = (bits & 0x8000u) << 16u;
  if (size < 0x00800000u) {  // subnormal: as a fraction of the smallest normal one, which is then taken off
    let x = bitcast<f32>(size + (113u << 23u)) - HALF_LEAST;
    return bitcast<f32>(bitcast<u32>(x) | sign);
  }
  let infinite = select(0u, 112u << 23u, size >= 0x0f800000u);
  return bitcast<f32>((size + (112u << 23u) + infinite) | sign);
}

// The i-th 16 bits of eight, in the low half of a word.
fn half_word(eight: vec4<u32>, i: u32) -> u32 {
  return eight[i / 2u] >> (i % 2u * 16u);
}

fn half_of(eight: vec4<u32>, i: u32) -> f32 {
  return float_of_half(half_word(eight, i));
}
