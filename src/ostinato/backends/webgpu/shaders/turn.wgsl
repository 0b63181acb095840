// cos and sin of large angles. The part of a turn is found in integers: exact, whatever a compiler does to floats.

const RADIANS = 1.46291807926715968e-9;  // 2 pi / 2^32
const EIGHTH = 0x20000000u;  // of a turn

// The 64-bit product: low word, high word.
fn multiply_wide(a: u32, b: u32) -> vec2<u32> {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let cross = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
  let other = (a & 0xffffu) * (b >> 16u) + (cross & 0xffffu);
  return vec2<u32>(a * b, (a >> 16u) * (b >> 16u) + (cross >> 16u) + (other >> 16u));
}

// The fraction of x / (2 pi) in units of 2^-32, for 1/2 <= x < 2^31. With x = m 2^(e - 31), m of 32 bits: bits of the
// product of m and 1 / (2 pi), which is given to 64 bits.
fn turn_fraction(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let m = ((bits & 0x7fffffu) | 0x800000u) << 8u;
  let shift = 127u + 31u - (bits >> 23u);  // 1 .. 32
  let upper = multiply_wide(m, 0x28be60dbu);
  let lower = multiply_wide(m, 0x9391054au).y;
  let middle = upper.x + lower;
  let high = upper.y + u32(middle < lower);
  if (shift == 32u) {
    return high;
  }
  return (high << (32u - shift)) | (middle >> shift);
}

// cos and sin of |r| <= pi / 4.
fn cos_sin_near(r: f32) -> vec2<f32> {
  let z = r * r;
  var c = fma(2.443315711809948e-5, z, -1.388731625493765e-3);
  c = fma(c, z, 4.166664568298827e-2);
  c = fma(c * z, z, fma(-0.5, z, 1.0));
  var s = fma(-1.9515295891e-4, z, 8.3321608736e-3);
  s = fma(s, z, -1.6666654611e-1);
  s = fma(s * z, r, r);
  return vec2<f32>(c, s);
}

// cos and sin of |x| < 2^31.
fn cos_sin(x: f32) -> vec2<f32> {
  let size = abs(x);
  if (size < 0.5) {
    return cos_sin_near(x);
  }
  let fraction = turn_fraction(size);
  let quarter = (fraction + EIGHTH) >> 30u;
  let near = cos_sin_near(f32(bitcast<i32>(fraction - (quarter << 30u))) * RADIANS);
  var turned = near;
  if (quarter % 2u == 1u) {
    turned = vec2<f32>(-near.y, near.x);
  }
  if (quarter >= 2u) {
    turned = -turned;
  }
  return vec2<f32>(turned.x, select(turned.y, -turned.y, x < 0.0));
}
