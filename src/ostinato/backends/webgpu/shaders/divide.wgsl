// Division rounded as IEEE 754 wants it: WGSL's own may be off by two units in the last place.

// a / b for positive normal numbers whose quotient does not overflow; a quotient may be subnormal.
fn divide_exactly(a: f32, b: f32) -> f32 {
  let p = bitcast<u32>(a);
  let q = bitcast<u32>(b);
  let n = (q & 0x7fffffu) | 0x800000u;
  var m = (p & 0x7fffffu) | 0x800000u;
  var exponent = i32(p >> 23u) - i32(q >> 23u) + 127;
  if (m < n) {
    m *= 2u;
    exponent -= 1;
  }
  // floor(2^23 m / n), 24 bits: guessed in floats, then mended by the rest, which 32 bits hold.
  var quotient = u32(f32(m) / f32(n) * 0x1p23);
  var rest = bitcast<i32>((m << 23u) - quotient * n);
  while (rest < 0) {
    quotient -= 1u;
    rest += i32(n);
  }
  while (rest >= i32(n)) {
    quotient += 1u;
    rest -= i32(n);
  }
  if (exponent <= 0) {
    return bitcast<f32>(shift_rounded(quotient, rest != 0, u32(min(1 - exponent, 25))));
  }
  let twice = 2 * rest;
  let up = twice > i32(n) || (twice == i32(n) && quotient % 2u == 1u);
  return bitcast<f32>((u32(exponent - 1) << 23u) + quotient + u32(up));
}

// x / 2^bits to nearest, ties to even; `more` says that x had a fraction.
fn shift_rounded(x: u32, more: bool, bits: u32) -> u32 {
  let whole = x >> bits;
  let dropped = x - (whole << bits);
  let half = 1u << (bits - 1u);
  let up = dropped > half || (dropped == half && (more || whole % 2u == 1u));
  return whole + u32(up);
}
