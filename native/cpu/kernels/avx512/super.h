// Super-blocks of any format on AVX-512 VNNI, in the shape that matmul.h wants.
#pragma once
#include "cpu/kernels/avx512/lanes.h"
#include "cpu/kernels/matmul.h"
#include "cpu/kernels/vector.h"

namespace ostinato::cpu::avx512 {
namespace {

template <class F>
struct Super {
  using Row = SuperRow;
  static constexpr int kDots = 4, kLanes = 16, kPanels = 2;
  static constexpr int kTileWeights = 4, kTileRows = 4;
  static constexpr int64_t kTilesFrom = 2, kPanelsFrom = 5;
  static constexpr int kSubs = kSuper / F::kSub, kGroups = F::kSub / 4;

  struct Panel {
    alignas(64) uint8_t q[64][64];                          // [k / 4][weight row][k % 4]
    int32_t sc[kSubs][16];                                  // [k / kSub][weight row]
    int16_t offset[kSubs / 2][16][2], m[kSubs / 2][16][2];  // pairs of k / kSub: kZero sc, and m
    float d[16], dmin[16];
  };

  static void dots(const uint8_t* const rows[4], int64_t k, const Row* a, Prefetch prefetch, float* out) {
    super_tile<F, 1>(rows, k, a, prefetch, reinterpret_cast<float (*)[4]>(out));
  }

  template <int kRows>
  static void tile(const uint8_t* const rows[4], int64_t k, const Row* a, Prefetch prefetch,
                   float (*out)[4]) {
    super_tile<F, kRows>(rows, k, a, prefetch, out);
  }

  static void unpack(const uint8_t* const rows[16], int64_t step, int, Panel& panel) {
    for (int r = 0; r < 16; ++r) {
      const auto& block = reinterpret_cast<const typename F::Block*>(rows[r])[step];
      const Subs subs = F::subs(block);
      for (int j = 0; j < kSubs; ++j) {
        panel.sc[j][r] = subs.sc[j];
        panel.offset[j / 2][r][j % 2] = static_cast<int16_t>(F::kZero * subs.sc[j]);
        panel.m[j / 2][r][j % 2] = subs.m[j];
      }
      panel.d[r] = F::d(block);
      if constexpr (F::kMins) panel.dmin[r] = F::dmin(block);
    }
    alignas(64) uint8_t codes[16][256];
    unpack_rows<F, true, 16>(rows, 8 * step, 8, codes);
    const uint8_t* pointers[16];
    for (int r = 0; r < 16; ++r) pointers[r] = codes[r];
    for (int c = 0; c < 4; ++c) {
      __m512i v[16];
      columns16(pointers, 64 * c, v);
      for (int i = 0; i < 16; ++i) _mm512_store_si512(panel.q[16 * c + i], v[i]);
    }
  }

  template <int kRows>
  static void multiply(const Panel* panels, const Row* a, int64_t stride, int, float (*acc)[32]) {
    __m512i sum[kRows][2] = {};
    for (int j = 0; j < kSubs; ++j) {
      __m512i part[kRows][2] = {};
#pragma GCC unroll 1
      for (int g = kGroups * j; g < kGroups * (j + 1); ++g) {
        const __m512i w0 = _mm512_load_si512(panels[0].q[g]), w1 = _mm512_load_si512(panels[1].q[g]);
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) {
          const __m512i x = broadcast32(a[r * stride].q + 4 * g);
          part[r][0] = _mm512_dpbusd_epi32(part[r][0], w0, x);
          part[r][1] = _mm512_dpbusd_epi32(part[r][1], w1, x);
        }
      }
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r)
        for (int p = 0; p < 2; ++p)
          sum[r][p] = _mm512_add_epi32(sum[r][p], _mm512_mullo_epi32(part[r][p], load(panels[p].sc[j])));
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r)
      for (int p = 0; p < 2; ++p) add_term(panels[p], a[r * stride], sum[r][p], acc[r] + kLanes * p);
  }

 private:
  static __m512i pairs_times_sums(const int16_t (*pairs)[16][2], const Row& a) {
    const int16_t* sums = F::kSub == 16 ? a.sums16 : a.sums32;
    __m512i total = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int j = 0; j < kSubs / 2; ++j)
      total = _mm512_dpwssd_epi32(total, load(pairs[j]), broadcast32(sums + 2 * j));
    return total;
  }

  static void add_term(const Panel& panel, const Row& a, __m512i scaled, float* acc) {
    if constexpr (F::kZero != 0) scaled = _mm512_sub_epi32(scaled, pairs_times_sums(panel.offset, a));
    const __m512 d = _mm512_loadu_ps(panel.d), exact = _mm512_cvtepi32_ps(scaled);
    __m512 term;
    if constexpr (F::kMins) {
      const __m512 least = _mm512_cvtepi32_ps(pairs_times_sums(panel.m, a));
      term = _mm512_fmsub_ps(d, exact, _mm512_mul_ps(_mm512_loadu_ps(panel.dmin), least));
    } else {
      term = _mm512_mul_ps(d, exact);
    }
    _mm512_storeu_ps(acc, _mm512_fmadd_ps(_mm512_set1_ps(a.d), term, _mm512_loadu_ps(acc)));
  }
};

}  // namespace
}  // namespace ostinato::cpu::avx512
