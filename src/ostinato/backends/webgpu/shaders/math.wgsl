// exp and log to about two units in the last place. WGSL's own are allowed larger errors, and these are the same
// operations on every adapter. NaN is not looked for.

const LOG2_E = 1.44269504;
const LN2_UNITS = 11629079;  // ln 2 in units of 2^-24,
const LN2_REST = 63442;  // and what is left of it in units of 2^-40
const LN2_HIGH = 0.693359375;  // and in floats: nine bits, whose product with an exponent is exact,
const LN2_LOW = -2.12194440e-4;  // and what is left

// x - n ln 2 for n = round(x / ln 2), |x| <= 88. In integers: the usual two-part subtraction in floats does not
// survive a compiler that reassociates, which WGSL allows (Mesa's does).
fn beyond_power(x: f32, n: i32) -> f32 {
  if (n == 0) {
    return x;
  }
  let units = i32(round(x * 0x1p24)) - n * LN2_UNITS;
  return f32(units * 256 - ((n * LN2_REST + 128) >> 8u)) * 0x1p-32;
}

// Zero below -87.3 (and for -infinity), e^88 above 88.
fn exp_accurate(x: f32) -> f32 {
  let bounded = clamp(x, -88.0, 88.0);
  let n = i32(round(bounded * LOG2_E));
  let r = beyond_power(bounded, n);
  var p = 1.0 / 5040.0;
  p = fma(p, r, 1.0 / 720.0);
  p = fma(p, r, 1.0 / 120.0);
  p = fma(p, r, 1.0 / 24.0);
  p = fma(p, r, 1.0 / 6.0);
  p = fma(p, r, 0.5);
  p = fma(p * r, r, r) + 1.0;
  let power = bitcast<f32>((n + 127) << 23u);
  return select(p * power, 0.0, bounded < -87.3);
}

// Of normal positive x = 2^e m, m in [sqrt(1/2), sqrt(2)): log m = 2 atanh(s), s = (m - 1) / (m + 1).
fn log_accurate(x: f32) -> f32 {
  let bits = bitcast<i32>(x);
  let exponent = (bits - 0x3f3504f3) >> 23u;  // 0x3f3504f3: sqrt(1/2)
  let f = bitcast<f32>(bits - (exponent << 23u)) - 1.0;
  let s = f / (2.0 + f);
  let z = s * s;
  var p = 2.0 / 11.0;
  p = fma(p, z, 2.0 / 9.0);
  p = fma(p, z, 2.0 / 7.0);
  p = fma(p, z, 2.0 / 5.0);
  p = fma(p, z, 2.0 / 3.0);
  let e = f32(exponent);
  let rest = fma(p * z, s, e * LN2_LOW);
  return fma(e, LN2_HIGH, fma(2.0, s, rest));
}
