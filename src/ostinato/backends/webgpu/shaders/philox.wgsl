// Philox4x32-10 (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011), as
// backends/reference/rng.py.

// The upper 32 bits of a x b, by halves of 16 bits.
fn multiply_high(a: u32, b: u32) -> u32 {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let cross = (a >> 16u) * (b & 0xffffu) + (low >> 16u);  // at most (2^16 - 1)^2 + 2^16 - 1: no carry
  let other = (a & 0xffffu) * (b >> 16u) + (cross & 0xffffu);
  return (a >> 16u) * (b >> 16u) + (cross >> 16u) + (other >> 16u);
}

// Word 0 of the block at `counter`.
fn philox(counter: vec4<u32>, key: vec2<u32>) -> u32 {
  var c = counter;
  var k = key;
  for (var round = 0; round < 10; round++) {
    let high0 = multiply_high(c.x, 0xD2511F53u);
    let high1 = multiply_high(c.z, 0xCD9E8D57u);
    c = vec4<u32>(high1 ^ c.y ^ k.x, c.z * 0xCD9E8D57u, high0 ^ c.w ^ k.y, c.x * 0xD2511F53u);
    k += vec2<u32>(0x9E3779B9u, 0xBB67AE85u);
  }
  return c.x;
}

// The upper 23 bits of a word at the middle of their interval: in (0, 1), exact in float32.
fn uniform_of(word: u32) -> f32 {
  return (f32(word >> 9u) + 0.5) * 0x1p-23;
}
