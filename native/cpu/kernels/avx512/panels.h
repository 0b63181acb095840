// Panels of 16 weight rows, each row a 32-bit lane, and the products of two of them with a few activation
// rows.
//
// Multiplications set the pace: for 16 weight rows, one activation row and 256 columns 64 dpbusd, one product
// per sub-scale, and the float terms, all on the same two ports. So nothing else is multiplied: what unsigned
// codes are too large by goes into the start of a sum.
#pragma once
#include "cpu/kernels/avx512/lanes.h"

namespace ostinato::cpu::avx512 {

using PanelCodes = uint8_t[64][64];  // [k / 4][weight row][k % 4]

template <int kSubs>
struct SuperPanel {
  alignas(64) PanelCodes q;
  int32_t sc[kSubs][16];        // [k / kSub][weight row]
  int16_t m[kSubs / 2][16][2];  // pairs of k / kSub
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
#pragma GCC unroll 1
  for (int g = 0; g < kGroups; ++g) {
    const __m512i first_rows = _mm512_load_si512(w0[g]), second_rows = _mm512_load_si512(w1[g]);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const __m512i a = broadcast32(x + r * bytes + 4 * g);
      sums[r][0] = _mm512_dpbusd_epi32(sums[r][0], first_rows, a);
      sums[r][1] = _mm512_dpbusd_epi32(sums[r][1], second_rows, a);
    }
  }
}

// kSub, kZero, kMins as formats have them (formats/format.h).
template <int kSub, int kZero, bool kMins>
struct SuperProduct {
  static constexpr int kSubs = kSuper / kSub;
  using Panel = SuperPanel<kSubs>;

  // acc[r] += the terms of one step of two panels and kRows activation rows, `stride` records apart. A
  // function of its own, so that g++ keeps no constants of the unpacking in the registers it needs.
  template <int kRows>
  [[gnu::noinline]] static void multiply(const Panel* panels, const SuperRow* a, int64_t stride,
                                         float (*acc)[32]) {
    __m512i total[kRows][2] = {};
#pragma GCC unroll 1
    for (int j = 0; j < kSubs; ++j) {
      __m512i sums[kRows][2];
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r)
        sums[r][0] = sums[r][1] = _mm512_set1_epi32(-kZero * activation_sums(a[r * stride])[j]);
      multiply_codes<kSub / 4, kRows>(panels[0].q, panels[1].q, kSub / 4 * j, a->q,
                                      stride * int64_t{sizeof(SuperRow)}, sums);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r)
        for (int p = 0; p < 2; ++p)
          total[r][p] = _mm512_add_epi32(total[r][p], _mm512_mullo_epi32(sums[r][p], load(panels[p].sc[j])));
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r)
      for (int p = 0; p < 2; ++p) add_term(panels[p], a[r * stride], total[r][p], acc[r] + 16 * p);
  }

 private:
  static const int16_t* activation_sums(const SuperRow& a) { return kSub == 16 ? a.sums16 : a.sums32; }

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
