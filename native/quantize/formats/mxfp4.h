// MXFP4 (OCP Microscaling Formats 1.0): blocks of 32 four-bit floats E2M1 with a shared power of two. One
// byte e, then nibbles: x = 2^(e - 127) v[q].

constexpr float kE2M1[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};  // sign in the fourth bit

// 32 nibbles, each the nearest to x / 2^(e - 127), ties to the smaller magnitude. Returns the sum of squared
// errors.
LANE_INLINE float quantise_mxfp4(const float* x, int e, uint8_t* q) {
  const float scale = std::ldexp(1.0f, e - 127), inverse = std::ldexp(1.0f, 127 - e);
  int32_t index[32] = {};
  float rest[32];
  for (int i = 0; i < 32; ++i) rest[i] = std::fabs(x[i]) * inverse;
  for (int level = 1; level < 8; ++level)
    for (int i = 0; i < 32; ++i) index[i] += rest[i] > (kE2M1[level - 1] + kE2M1[level]) / 2;
  float error = 0;
  for (int i = 0; i < 32; ++i) {
    const float difference = (rest[i] - kE2M1[index[i]]) * scale;
    error += difference * difference;
    q[i] = static_cast<uint8_t>(x[i] < 0 && index[i] > 0 ? index[i] | 8 : index[i]);
  }
  return error;
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
