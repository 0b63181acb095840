// Scales and minima of six bits, as Q4_K and Q5_K pack those of eight sub-blocks into twelve bytes.

// Scale and minimum of sub-block j from the three words of four bytes.
fn six_bits(words: vec3<u32>, j: u32) -> vec2<i32> {
  let shift = j % 4u * 8u;
  let bytes = words >> vec3<u32>(shift);
  if (j < 4u) {
    return vec2<i32>(bytes.xy & vec2<u32>(63u));
  }
  let low = vec2<u32>(bytes.z, bytes.z >> 4u) & vec2<u32>(15u);
  return vec2<i32>(low | ((bytes.xy >> vec2<u32>(2u)) & vec2<u32>(48u)));
}
