// Functions of 16 lanes, to a few units in the last place unless they say otherwise. Part of isa/vectors.cpp.

// e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2; e^r by its Taylor series, whose next term is below
// 2^-27. Zero below -87.3, and no larger than e^88; NaN stays NaN.
LANE_INLINE F16x exp16(F16x x) {
  const I16x tiny = below(x, splat(-87.3f));
  x = select(below(splat(88.0f), x), splat(88.0f), x);
  x = select(tiny, splat(0.0f), x);
  const F16x round = splat(0x1.8p23f);  // adding it leaves an integer in the low bits
  const F16x shifted = fma(x, splat(1.44269504f), round);
  const F16x n = shifted - round;
  F16x r = fma(n, splat(-0x1.62e4p-1f), x);  // ln 2 in two parts; the first has 15 bits, so n x it is exact
  r = fma(n, splat(-0x1.7f7d1cp-20f), r);
  F16x p = splat(1.0f / 5040);
  p = fma(p, r, splat(1.0f / 720));
  p = fma(p, r, splat(1.0f / 120));
  p = fma(p, r, splat(1.0f / 24));
  p = fma(p, r, splat(1.0f / 6));
  p = fma(p, r, splat(0.5f));
  p = fma(p, r, splat(1.0f));
  p = fma(p, r, splat(1.0f));
  const I16x power = ((I16x)shifted - (I16x)round + 127) << 23;
  return select(tiny, splat(0.0f), p * (F16x)power);
}

// 2^x for x below 128, to 2^-23; zero below -126; NaN stays NaN. 2^r, |r| <= 1/2, by a polynomial fitted for
// the smallest relative error (2e-9 before rounding).
LANE_INLINE F16x exp2_16(F16x x) {
  const I16x tiny = below(x, splat(-126.0f));
  const F16x round = splat(0x1.8000fep23f);  // adding it leaves n + 127 in the low bits
  const F16x shifted = x + round;
  const F16x r = x - (shifted - round);
  F16x p = splat(0x1.41d33ap-13f);
  p = fma(p, r, splat(0x1.5f456ap-10f));
  p = fma(p, r, splat(0x1.3b2dbcp-7f));
  p = fma(p, r, splat(0x1.c6aed4p-5f));
  p = fma(p, r, splat(0x1.ebfbdap-3f));
  p = fma(p, r, splat(0x1.62e43p-1f));
  p = fma(p, r, splat(1.0f));
  return select(tiny, splat(0.0f), p * (F16x)((I16x)shifted << 23));
}

// log of normal positive x = 2^e m with m in [sqrt(1/2), sqrt(2)): log m = 2 atanh(s), s = (m - 1) / (m + 1),
// by its series up to s^11.
LANE_INLINE F16x log16(F16x x) {
  const I16x bits = (I16x)x;
  const I16x exponent = (bits - 0x3f3504f3) >> 23;  // 0x3f3504f3: sqrt(1/2)
  const F16x m = (F16x)(bits - (exponent << 23));
  const F16x f = m - splat(1.0f);
  const F16x s = f / (m + splat(1.0f));
  const F16x z = s * s;
  F16x p = splat(2.0f / 11);
  p = fma(p, z, splat(2.0f / 9));
  p = fma(p, z, splat(2.0f / 7));
  p = fma(p, z, splat(2.0f / 5));
  p = fma(p, z, splat(2.0f / 3));
  const F16x e = __builtin_convertvector(exponent, F16x);
  const F16x rest = fma(p * z, s, e * splat(0x1.7f7d1cp-20f));
  return fma(e, splat(0x1.62e4p-1f), fma(splat(2.0f), s, rest));
}

// log(1 + e) for 0 <= e <= 1, small ones too: log(u) e / (u - 1) undoes the rounding of u = 1 + e.
LANE_INLINE F16x log1p16(F16x e) {
  const F16x u = splat(1.0f) + e, rounded = u - splat(1.0f);
  return select(rounded == splat(0.0f), e, log16(u) * e / rounded);
}

// tanh x = 1 - 2 / (e^2x + 1); below 1/2 by its Taylor series, whose next term is below 2^-26.
LANE_INLINE F16x tanh16(F16x x) {
  const F16x magnitude = select(below(x, splat(0.0f)), -x, x), z = x * x;
  F16x p = splat(-929569.0f / 638512875);
  p = fma(p, z, splat(21844.0f / 6081075));
  p = fma(p, z, splat(-1382.0f / 155925));
  p = fma(p, z, splat(62.0f / 2835));
  p = fma(p, z, splat(-17.0f / 315));
  p = fma(p, z, splat(2.0f / 15));
  p = fma(p, z, splat(-1.0f / 3));
  const F16x large = splat(1.0f) - splat(2.0f) / (exp16(x + x) + splat(1.0f));
  return select(below(magnitude, splat(0.5f)), fma(p * z, x, x), large);
}

// The error function, to 1.5e-7 (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26).
LANE_INLINE F16x erf16(F16x x) {
  const I16x negative = below(x, splat(0.0f));
  const F16x magnitude = select(negative, -x, x);
  const F16x t = splat(1.0f) / fma(splat(0.3275911f), magnitude, splat(1.0f));
  F16x p = splat(1.061405429f);
  p = fma(p, t, splat(-1.453152027f));
  p = fma(p, t, splat(1.421413741f));
  p = fma(p, t, splat(-0.284496736f));
  p = fma(p, t, splat(0.254829592f));
  const F16x y = splat(1.0f) - p * t * exp16(-x * x);
  return select(negative, -y, y);
}
