// The Gumbel draw of `sample`: Philox4x32-10 (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3,
// 2011) on 16 counters at once. Part of isa/vectors.cpp.

// Upper 32 bits of a x b.
LANE_INLINE U16x multiply_high(U16x a, uint32_t b) {
#if defined(__AVX512F__)
  const __m512i factor = _mm512_set1_epi32(static_cast<int>(b));
  const __m512i even = _mm512_mul_epu32((__m512i)a, factor);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64((__m512i)a, 32), factor);
  return (U16x)_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
#else
  U16x out;
  for (int i = 0; i < kLanes; ++i) out[i] = static_cast<uint32_t>(static_cast<uint64_t>(a[i]) * b >> 32);
  return out;
#endif
}

LANE_INLINE U16x philox(U16x c0, U16x c1, U16x c2, U16x c3, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const U16x high0 = multiply_high(c0, 0xD2511F53u), low0 = c0 * 0xD2511F53u;
    const U16x high1 = multiply_high(c2, 0xCD9E8D57u), low1 = c2 * 0xCD9E8D57u;
    c0 = high1 ^ c1 ^ k0, c1 = low1, c2 = high0 ^ c3 ^ k1, c3 = low0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  return c0;
}

// -log(-log(u)), u the upper 23 bits of a word at the middle of their interval in (0, 1). At most 16.64.
LANE_INLINE F16x gumbel(U16x word) {
  const F16x u = (__builtin_convertvector((I16x)(word >> 9), F16x) + splat(0.5f)) * splat(0x1p-23f);
  return -log16(-log16(u));
}
constexpr float kMostNoise = 16.7f;

void draw(const float* scores, const int32_t* ids, int64_t n, const uint32_t key[2], uint32_t position,
          uint32_t choice, Best* best) {
  by_lanes(n, [&](int64_t i, int64_t lanes) {
    const F16x score = load_some(scores + i, lanes, -__builtin_inff());
    if (!(max_lanes(score) + kMostNoise >= best->score)) return;  // no noise makes one of these the best
    I16x token = iota() + static_cast<int32_t>(i);
    for (int64_t lane = 0; ids != nullptr && lane < lanes; ++lane) token[lane] = ids[i + lane];
    const U16x word = philox(U16x{} + position, U16x{} + choice, (U16x)token, U16x{}, key[0], key[1]);
    const F16x total = score + gumbel(word);
    if (!(max_lanes(total) >= best->score)) return;
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const bool tie = total[lane] == best->score && token[lane] < best->token;
      if (total[lane] > best->score || tie) *best = {total[lane], token[lane]};
    }
  });
}
