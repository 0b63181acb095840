// Q4_K and Q5_K: 8 runs of 32, x = d sc q - dmin m. d, dmin, 12 bytes of eight six-bit sc and m, (Q5_K: 32
// bytes of fifth bits, run j in bit j of byte l), nibbles of runs 2 p and 2 p + 1 in bytes 32 p .. 32 p + 31.

// Six low bits of sc 0-3, then of m 0-3, with the top two of sc 4-7 and m 4-7 above; then the nibbles of
// those.
LANE_INLINE void pack_scales_q4_k(const uint8_t* sc, const uint8_t* m, uint8_t* out) {
  for (int i = 0; i < 4; ++i) {
    out[i] = static_cast<uint8_t>(sc[i] | sc[4 + i] >> 4 << 6);
    out[4 + i] = static_cast<uint8_t>(m[i] | m[4 + i] >> 4 << 6);
    out[8 + i] = static_cast<uint8_t>((sc[4 + i] & 15) | (m[4 + i] & 15) << 4);
  }
}

LANE_INLINE void pack_fifth_bits_q5_k(const uint8_t* q, uint8_t* out) {
  for (int l = 0; l < 32; ++l) {
    int byte = 0;
    for (int j = 0; j < 8; ++j) byte |= (q[32 * j + l] >> 4) << j;
    out[l] = static_cast<uint8_t>(byte);
  }
}

constexpr float kTopScaleQ4_K = 63;

// The units of all super-blocks of a chunk, and its runs counted in them. Returns how many blocks come before
// the first whose units float16 cannot hold.
template <class Rule>
LANE_INLINE int count_lines(const float* scale, const float* low, int blocks, Unit* d, Unit* dmin,
                            StoredLines<Rule>* lines) {
  constexpr int kRuns = kSuper / Rule::kCount;
  int sound = blocks;
  for (int b = kChunk / kSuper - 1; b >= 0; --b) {
    d[b] = unit_for(extreme_of(scale + kRuns * b, kRuns), kTopScaleQ4_K);
    dmin[b] = unit_for(extreme_of(low + kRuns * b, kRuns), kTopScaleQ4_K);
    if (!d[b].finite() || !dmin[b].finite()) sound = b;
    for (int run = kRuns * b; run < kRuns * (b + 1); ++run) {
      lines->d[run] = d[b].value;
      lines->dmin[run] = dmin[b].value;
      lines->sc[run] = d[b].count(scale[run], 0, kTopScaleQ4_K);
      lines->m[run] = dmin[b].count(low[run], 0, kTopScaleQ4_K);
    }
  }
  return sound;
}

template <class Rule>
int encode_q4_or_q5_k(const float* x, int blocks, uint8_t* out) {
  constexpr int kRuns = 8, kFifth = Rule::kTop == 31 ? 32 : 0, kBytes = 144 + kFifth;
  float scale[kChunk / 32], low[kChunk / 32];
  Unit d[kChunk / kSuper], dmin[kChunk / kSuper];
  StoredLines<Rule> lines;
  fit_affine<Rule>(x, scale, low);
  const int sound = count_lines(scale, low, blocks, d, dmin, &lines);
  refine(x, kTopScaleQ4_K, &lines);
  for (int b = 0; b < sound; ++b, x += kSuper, out += kBytes) {
    uint8_t q[kSuper], sc[kRuns], m[kRuns];
    for (int j = 0; j < kRuns; ++j) {
      const int run = kRuns * b + j;
      sc[j] = static_cast<uint8_t>(lines.sc[run]);
      m[j] = static_cast<uint8_t>(lines.m[run]);
      quantise(x + 32 * j, 32, lines.d[run] * lines.sc[run], lines.dmin[run] * lines.m[run], 0, Rule::kTop,
               q + 32 * j);
    }
    store_half(d[b].bits, out);
    store_half(dmin[b].bits, out + 2);
    pack_scales_q4_k(sc, m, out + 4);
    if (kFifth) pack_fifth_bits_q5_k(q, out + 16);
    for (int p = 0; p < 4; ++p) pack_nibbles(q + 64 * p, 32, out + 16 + kFifth + 32 * p);
  }
  return sound;
}
