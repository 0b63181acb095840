// Panels of 16 weight rows, each row a 32-bit lane, and the products of two of them with a few activation
// rows.
//
// Multiplications set the pace, all on the same two ports: for 16 weight rows, one activation row and 256
// columns 64 dpbusd, those with sub-scales and minima, and the float terms. So what unsigned codes are too
// large by is not multiplied, but goes into the start of a sum; and the sums of two sub-blocks meet their
// sub-scales in one dpwssd where 16 bits hold them, which follows from how large the activations are: for
// Q4_K and Q6_K, unless nearly all of a sub-block's activations are near the largest of 256.
#pragma once
#include "cpu/kernels/avx512/lanes.h"

namespace ostinato::cpu::avx512 {

using PanelCodes = uint8_t[64][64];  // [k / 4][weight row][k % 4]

template <int kSubs>
struct SuperPanel {
  alignas(64) PanelCodes q;
  int16_t sc[kSubs / 2][16][2], m[kSubs / 2][16][2];  // pairs of k / kSub, [weight row]
  float d[16], dmin[16];
};

// sums[r][p] += the products of groups first .. first + kGroups - 1 of four columns; activation rows begin at
// x, `bytes` apart.
template <int kGroups, int kRows>
[[gnu::always_inline]] static inline void multiply_codes(const PanelCodes& q0, const PanelCodes& q1,
                                                         int first, const int8_t* x, int64_t bytes,
                                                         __m512i (*sums)[2]) {
  const uint8_t (*w0)[64] = q0 + first, (*w1)[64] = q1 + first;
  x += 4 * first;
#pragma GCC unroll 8
  for (int g = 0; g < kGroups; ++g) {
    const __m512i first_rows = _mm512_load_si512(w0[g]), second_rows = _mm512_load_si512(w1[g]);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const __m512i a = broadcast32(x + r * bytes + 4 * g);
      add_products(sums[r][0], first_rows, a);
      add_products(sums[r][1], second_rows, a);
    }
  }
}

// Two bytes of each word, sign-extended: b0 and b1, or b2 and b3.
static inline __m512i signed_pair(__m512i words, bool upper) {
  const __m512i low_to_tops = _mm512_broadcast_i32x4(
      _mm_setr_epi8(-128, 0, -128, 1, -128, 4, -128, 5, -128, 8, -128, 9, -128, 12, -128, 13));
  const __m512i to_tops = _mm512_add_epi16(low_to_tops, _mm512_set1_epi16(upper ? 2 << 8 : 0));
  return _mm512_srai_epi16(_mm512_shuffle_epi8(words, to_tops), 8);
}

// The low halves of `even` and `odd`, side by side. (One masked shuffle would keep a port from multiplying.)
static inline __m512i low_halves(__m512i even, __m512i odd) {
  return _mm512_mask_blend_epi16(0xaaaaaaaa, even, _mm512_slli_epi32(odd, 16));
}

// kSub, kTop, kZero, kMins as formats have them (formats/format.h).
template <int kSub, int kTop, int kZero, bool kMins>
struct SuperProduct {
  static constexpr int kSubs = kSuper / kSub;
  using Panel = SuperPanel<kSubs>;

  // acc[r] += the terms of one step of two panels and kRows activation rows, `stride` records apart. A
  // function of its own, so that g++ keeps no constants of the unpacking in the registers it needs.
  template <int kRows>
  [[gnu::noinline]] static void multiply(const Panel* panels, const SuperRow* a, int64_t stride,
                                         float (*acc)[32]) {
    bool fit = true;
    for (int r = 0; r < kRows; ++r) fit &= sums_fit(a[r * stride]);
    __m512i total[kRows][2] = {};
    if (fit)
      add_pairs<kRows>(panels, a, stride, total);
    else
      add_singly<kRows>(panels, a, stride, total);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r)
      for (int p = 0; p < 2; ++p) add_term(panels[p], a[r * stride], total[r][p], acc[r] + 16 * p);
  }

 private:
  static constexpr int kMost = std::max(kTop - kZero, kZero);  // magnitude of what a code stands for

  // Whether 16 bits hold the sum of any sub-block.
  static bool sums_fit(const SuperRow& a) {
    if constexpr (kSub * 127 * kMost <= 32767) return true;
    const int magnitude = kSub == 16 ? a.most16 : kZero == 0 ? a.part32 : 2 * a.part32;
    return kMost * magnitude <= 32767;
  }

  static const int16_t* activation_sums(const SuperRow& a) { return kSub == 16 ? a.sums16 : a.sums32; }

  // The sums of sub-block j.
  template <int kRows>
  [[gnu::always_inline]] static void sum(const Panel* panels, int j, const SuperRow* a, int64_t stride,
                                         __m512i (*sums)[2]) {
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r)
      sums[r][0] = sums[r][1] = _mm512_set1_epi32(-kZero * activation_sums(a[r * stride])[j]);
    multiply_codes<kSub / 4, kRows>(panels[0].q, panels[1].q, kSub / 4 * j, a->q,
                                    stride * int64_t{sizeof(SuperRow)}, sums);
  }

  template <int kRows>
  [[gnu::always_inline]] static void add_pairs(const Panel* panels, const SuperRow* a, int64_t stride,
                                               __m512i (*total)[2]) {
#pragma GCC unroll 1
    for (int j = 0; j < kSubs / 2; ++j) {
      __m512i even[kRows][2], odd[kRows][2];
      sum<kRows>(panels, 2 * j, a, stride, even);
      sum<kRows>(panels, 2 * j + 1, a, stride, odd);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r)
        for (int p = 0; p < 2; ++p)
          total[r][p] =
              _mm512_dpwssd_epi32(total[r][p], low_halves(even[r][p], odd[r][p]), load(panels[p].sc[j]));
    }
  }

  template <int kRows>
  [[gnu::always_inline]] static void add_singly(const Panel* panels, const SuperRow* a, int64_t stride,
                                                __m512i (*total)[2]) {
#pragma GCC unroll 1
    for (int j = 0; j < kSubs; ++j) {
      __m512i sums[kRows][2];
      sum<kRows>(panels, j, a, stride, sums);
      for (int p = 0; p < 2; ++p) {
        const __m512i pair = load(panels[p].sc[j / 2]);
        const __m512i scale = _mm512_srai_epi32(j % 2 == 0 ? _mm512_slli_epi32(pair, 16) : pair, 16);
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r)
          total[r][p] = _mm512_add_epi32(total[r][p], _mm512_mullo_epi32(sums[r][p], scale));
      }
    }
  }

  static void add_term(const Panel& panel, const SuperRow& a, __m512i total, float* acc) {
    const __m512 d = _mm512_load_ps(panel.d), exact = _mm512_cvtepi32_ps(total);
    __m512 term;
    if constexpr (kMins) {
      __m512i least = _mm512_setzero_si512();
#pragma GCC unroll 8
      for (int j = 0; j < kSubs / 2; ++j)
        least = _mm512_dpwssd_epi32(least, load(panel.m[j]), broadcast32(activation_sums(a) + 2 * j));
      term = _mm512_fmsub_ps(d, exact, _mm512_mul_ps(_mm512_load_ps(panel.dmin), _mm512_cvtepi32_ps(least)));
    } else {
      term = _mm512_mul_ps(d, exact);
    }
    _mm512_store_ps(acc, _mm512_fmadd_ps(_mm512_set1_ps(a.d), term, _mm512_load_ps(acc)));
  }
};

}  // namespace ostinato::cpu::avx512
