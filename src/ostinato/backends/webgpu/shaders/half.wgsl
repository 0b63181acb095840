// float16 in 32-bit words. WGSL leaves the rounding of pack2x16float to the adapter, so that is done here,
// in integers.

// The bits of x as float16, rounded to nearest, ties to even.
fn half_bits(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let sign = (bits >> 16u) & 0x8000u;
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) {
    return sign | 0x7e00u;  // NaN
  }
  if (size >= 0x477ff000u) {
    return sign | 0x7c00u;  // 65520 and more round to infinity
  }
  var significand = size - 0x38000000u;  // exponents 127 - 15 lower, before rounding 13 bits away
  var dropped = 13u;
  if (size < 0x38800000u) {  // below 2^-14: a multiple of 2^-24
    significand = (size & 0x7fffffu) | 0x800000u;
    dropped = min(126u - (size >> 23u), 31u);
  }
  let low = (1u << dropped) - 1u;
  let tie_to_even = (significand >> dropped) & 1u;
  return sign | ((significand + (low >> 1u) + tie_to_even) >> dropped);
}

fn pack_halves(x: f32, y: f32) -> u32 {
  return half_bits(x) | (half_bits(y) << 16u);
}
