// IQ4_NL and IQ4_XS: x = d v[q], v being a fixed set of sixteen levels, denser near zero. IQ4_NL: blocks of
// 32: d, nibbles. IQ4_XS: 8 runs of 32 with d (sc - 32): d, the top two bits of sc, their low nibbles,
// nibbles of q.

constexpr float kLevels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

struct RuleIQ4 {
  static constexpr int kCount = 32;
  // 127 the other way round, and what the lowest level may be stretched to.
  static constexpr float kWidths[] = {127,  -134, -133, -132, -131, -130, -129, -128,
                                      -127, -126, -125, -124, -123, -122, -121, -120};
  static LANE_INLINE Vec nearest(Vec value) {
    Vec level = splat(kLevels[0]);
    for (int i = 1; i < 16; ++i)
      level = value >= (kLevels[i - 1] + kLevels[i]) / 2 ? splat(kLevels[i]) : level;
    return level;
  }
};

// The index of the level nearest to x / scale for 32 values, two to a byte.
LANE_INLINE void quantise_iq4(const float* x, float scale, uint8_t* out) {
  float exact[32];
  for (int i = 0; i < 32; ++i) exact[i] = scale == 0 ? 0.0f : x[i] / scale;
  int32_t index[32] = {};
  for (int level = 1; level < 16; ++level)
    for (int i = 0; i < 32; ++i) index[i] += exact[i] >= (kLevels[level - 1] + kLevels[level]) / 2;
  uint8_t q[32];
  for (int i = 0; i < 32; ++i) q[i] = static_cast<uint8_t>(index[i]);
  pack_nibbles(q, 16, out);
}

int encode_iq4_nl(const float* x, int blocks, uint8_t* out) {
  float scale[kChunk / 32];
  fit_scaled<RuleIQ4>(x, scale);
  for (int b = 0; b < blocks; ++b, x += 32, out += 18) {
    const uint16_t d = to_half(scale[b]);
    if ((d & 0x7fff) >= kHalfInfinity) return b;
    store_half(d, out);
    quantise_iq4(x, from_half(d), out + 2);
  }
  return blocks;
}

int encode_iq4_xs(const float* x, int blocks, uint8_t* out) {
  constexpr int kRuns = 8;
  float scale[kChunk / 32];
  fit_scaled<RuleIQ4>(x, scale);
  for (int b = 0; b < blocks; ++b, x += kSuper, out += 136) {
    const Unit d = unit_for(extreme_of(scale + kRuns * b, kRuns), -32);
    if (!d.finite()) return b;
    uint16_t high = 0;
    uint8_t sc[kRuns];
    for (int j = 0; j < kRuns; ++j) {
      const float count = d.count(scale[kRuns * b + j], -32, 31);
      sc[j] = static_cast<uint8_t>(static_cast<int>(count) + 32);
      high |= static_cast<uint16_t>(sc[j] >> 4 << (2 * j));
      quantise_iq4(x + 32 * j, d.value * count, out + 8 + 16 * j);
    }
    store_half(d.bits, out);
    store_half(high, out + 2);
    for (int p = 0; p < 4; ++p) out[4 + p] = static_cast<uint8_t>((sc[2 * p] & 15) | sc[2 * p + 1] << 4);
  }
  return blocks;
}
