// MXFP4 (OCP Microscaling Formats 1.0): blocks of 32 four-bit floats E2M1 with a shared power of two. One
// byte e, then nibbles: x = 2^(e - 127) v[q].

constexpr float kE2M1[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};  // sign in the fourth bit

// The nibble nearest to `value`, ties to the smaller magnitude.
LANE_INLINE uint8_t nearest_e2m1(float value) {
  const float size = std::fabs(value);
  int index = 0;
  for (int i = 1; i < 8; ++i) index += size > (kE2M1[i - 1] + kE2M1[i]) / 2;
  return static_cast<uint8_t>(value < 0 && index ? index | 8 : index);
}

LANE_INLINE float quantise_mxfp4(const float* x, int e, uint8_t* q) {
  const float scale = std::ldexp(1.0f, e - 127);
  float error = 0;
  for (int i = 0; i < 32; ++i) {
    q[i] = nearest_e2m1(x[i] / scale);
    const float rest = std::fabs(x[i]) / scale - kE2M1[q[i] & 7];
    error += rest * rest;
  }
  return error * scale * scale;
}

// The exponent of the standard leaves the largest magnitude in [4, 8), where what is above 6 is cut off; the
// next one is taken where it has the smaller error.
int encode_mxfp4(const float* x, int blocks, uint8_t* out) {
  constexpr int kLeast = 1, kMost = 253;
  for (int b = 0; b < blocks; ++b, x += 32, out += 17) {
    const float peak = std::fabs(extreme_of(x, 32));
    int e = peak == 0 ? kLeast : std::ilogb(peak) - 2 + 127;
    e = e < kLeast ? kLeast : e < kMost ? e : kMost;
    uint8_t q[2][32];
    const float error = quantise_mxfp4(x, e, q[0]);
    const bool next = quantise_mxfp4(x, e + 1, q[1]) < error;
    out[0] = static_cast<uint8_t>(e + next);
    pack_nibbles(q[next], 16, out + 1);
  }
  return blocks;
}
