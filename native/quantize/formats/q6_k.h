// Q6_K: 16 runs of 16, x = d sc (q - 32). 128 bytes of low nibbles (elements 128 h + l and 128 h + 64 + l in
// byte 64 h + l), 64 of the two bits above, 16 of sc, d.

struct RuleQ6_K {
  static constexpr int kCount = 16;
  static constexpr float kWidths[] = {-32.0f, -31.1f, -31.2f, -31.3f, -31.4f, -31.5f, -31.6f,
                                      -31.7f, -31.8f, -31.9f, -32.1f, -32.2f, -32.3f, -32.4f,
                                      -32.5f, -32.6f, -32.7f, -32.8f, -32.9f};
  static LANE_INLINE Vec nearest(Vec value) { return round_even(clamp(value, -32, 31)); }
};

int encode_q6_k(const float* x, int blocks, uint8_t* out) {
  constexpr int kRuns = 16;
  float scale[kChunk / 16];
  fit_scaled<RuleQ6_K>(x, scale);
  for (int b = 0; b < blocks; ++b, x += kSuper, out += 210) {
    const Unit d = unit_for(extreme_of(scale + kRuns * b, kRuns), -128);
    if (!d.finite()) return b;
    uint8_t q[kSuper];
    for (int j = 0; j < kRuns; ++j) {
      const float sc = d.count(scale[kRuns * b + j], -128, 127);
      out[192 + j] = static_cast<uint8_t>(static_cast<int>(sc));
      quantise(x + 16 * j, 16, d.value * sc, 0, -32, 31, q + 16 * j);
    }
    for (int h = 0; h < 2; ++h) pack_nibbles(q + 128 * h, 64, out + 64 * h);
    pack_pairs(q, 4, out + 128);
    store_half(d.bits, out + 208);
  }
  return blocks;
}
