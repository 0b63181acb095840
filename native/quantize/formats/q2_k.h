// Q2_K: 16 runs of 16, x = d sc q - dmin m. 16 bytes of sc (low nibble) and m (high), 64 of q, d, dmin.

int encode_q2_k(const float* x, int blocks, uint8_t* out) {
  constexpr int kRuns = 16, kTopScale = 15;
  float scale[kChunk / 16], low[kChunk / 16];
  fit_affine<RuleQ2_K>(x, scale, low);
  for (int b = 0; b < blocks; ++b, x += kSuper, out += 84) {
    const Unit d = unit_for(extreme_of(scale + kRuns * b, kRuns), kTopScale);
    const Unit dmin = unit_for(extreme_of(low + kRuns * b, kRuns), kTopScale);
    if (!d.finite() || !dmin.finite()) return b;
    uint8_t q[kSuper];
    for (int j = 0; j < kRuns; ++j) {
      const float sc = d.count(scale[kRuns * b + j], 0, kTopScale);
      const float m = dmin.count(low[kRuns * b + j], 0, kTopScale);
      out[j] = static_cast<uint8_t>(static_cast<int>(sc) | static_cast<int>(m) << 4);
      quantise(x + 16 * j, 16, d.value * sc, dmin.value * m, 0, 3, q + 16 * j);
    }
    pack_pairs(q, 0, out + 16);
    store_half(d.bits, out + 80);
    store_half(dmin.bits, out + 82);
  }
  return blocks;
}
