// Q3_K: 16 runs of 16, x = d (sc - 32) (q - 4). 32 bytes of third bits of q (element 32 s + l in bit s of
// byte l), 64 of low bits, 12 of sixteen six-bit sc, d.

// Low nibbles of sc 0-7 and 8-15 in eight bytes, then the top two bits of sc 4 s + l in bits 2 s of byte l.
LANE_INLINE void pack_scales_q3_k(const uint8_t* sc, uint8_t* out) {
  pack_nibbles(sc, 8, out);
  for (int l = 0; l < 4; ++l)
    out[8 + l] =
        static_cast<uint8_t>(sc[l] >> 4 | sc[4 + l] >> 4 << 2 | sc[8 + l] >> 4 << 4 | sc[12 + l] >> 4 << 6);
}

int encode_q3_k(const float* x, int blocks, uint8_t* out) {
  constexpr int kRuns = 16;
  float scale[kChunk / 16];
  fit_by_descent<16, 4>(x, scale);
  for (int b = 0; b < blocks; ++b, x += kSuper, out += 110) {
    const Unit d = unit_for(extreme_of(scale + kRuns * b, kRuns), -32);
    if (!d.finite()) return b;
    uint8_t q[kSuper], sc[kRuns];
    for (int j = 0; j < kRuns; ++j) {
      const float count = d.count(scale[kRuns * b + j], -32, 31);
      sc[j] = static_cast<uint8_t>(static_cast<int>(count) + 32);
      quantise(x + 16 * j, 16, d.value * count, 0, -4, 3, q + 16 * j);
    }
    for (int l = 0; l < 32; ++l) {
      int byte = 0;
      for (int s = 0; s < 8; ++s) byte |= (q[32 * s + l] >> 2) << s;
      out[l] = static_cast<uint8_t>(byte);
    }
    pack_pairs(q, 0, out + 32);
    pack_scales_q3_k(sc, out + 96);
    store_half(d.bits, out + 108);
  }
  return blocks;
}
