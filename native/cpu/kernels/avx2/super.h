// Super-blocks of any format on AVX2, in the shape that matmul.h wants.
#pragma once
#include "cpu/kernels/avx2/lanes.h"
#include "cpu/kernels/matmul.h"
#include "cpu/kernels/vector.h"

namespace ostinato::cpu::avx2 {
namespace {

// How many sums of two products, q up to `top`, fit in 16 bits: a power of two.
constexpr int products_in_16_bits(int top) {
  int count = 8;
  while (count > 1 && count * 2 * 127 * top > 32767) count /= 2;
  return count;
}

template <class F>
struct Super {
  using Row = SuperRow;
  static constexpr int kDots = 4, kLanes = 8, kPanels = 1;
  static constexpr int kTileWeights = 4, kTileRows = 4;
  static constexpr int64_t kTilesFrom = 2, kPanelsFrom = 5;
  static constexpr int kSubs = kSuper / F::kSub, kGroups = F::kSub / 4;
  static constexpr bool kOffset = kUnsigned<F> && F::kZero != 0;

  struct Panel {
    alignas(32) uint8_t q[64][32];                        // [k / 4][weight row][k % 4]
    int16_t sc[kSubs][8][2];                              // [k / kSub][weight row], twice
    int16_t offset[kSubs / 2][8][2], m[kSubs / 2][8][2];  // pairs of k / kSub: kZero sc, and m
    float d[8], dmin[8];
  };

  static void dots(const uint8_t* const rows[4], int64_t k, const Row* a, Prefetch prefetch, float* out) {
    super_tile<F, 1>(rows, k, a, prefetch, reinterpret_cast<float (*)[4]>(out));
  }

  template <int kRows>
  static void tile(const uint8_t* const rows[4], int64_t k, const Row* a, Prefetch prefetch,
                   float (*out)[4]) {
    super_tile<F, kRows>(rows, k, a, prefetch, out);
  }

  static void unpack(const uint8_t* const rows[8], int64_t step, int, Panel& panel) {
    for (int r = 0; r < 8; ++r) {
      const auto& block = reinterpret_cast<const typename F::Block*>(rows[r])[step];
      const Subs subs = F::subs(block);
      for (int j = 0; j < kSubs; ++j) {
        panel.sc[j][r][0] = panel.sc[j][r][1] = subs.sc[j];
        panel.offset[j / 2][r][j % 2] = static_cast<int16_t>(F::kZero * subs.sc[j]);
        panel.m[j / 2][r][j % 2] = subs.m[j];
      }
      panel.d[r] = F::d(block);
      if constexpr (F::kMins) panel.dmin[r] = F::dmin(block);
    }
    alignas(32) uint8_t codes[8][256];
    unpack_rows<F, false, 8>(rows, 8 * step, 8, codes);
    for (int c = 0; c < 8; ++c) {
      __m256i v[8];
#pragma GCC unroll 8
      for (int r = 0; r < 8; ++r) v[r] = load(codes[r] + 32 * c);
      transpose8(v);
      for (int i = 0; i < 8; ++i) store(panel.q[8 * c + i], v[i]);
    }
  }

  template <int kRows>
  [[gnu::noinline]] static void multiply(const Panel* panel, const Row* a, int64_t stride, int,
                                         float (*acc)[8]) {
    constexpr int kRun = kUnsigned<F> ? std::min(kGroups, products_in_16_bits(F::kTop)) : 1;
    __m256i sum[kRows] = {};
    for (int j = 0; j < kSubs; ++j) {
      const __m256i scales = load(panel->sc[j]);
#pragma GCC unroll 1
      for (int g = kGroups * j; g < kGroups * (j + 1); g += kRun) {
        __m256i part[kRows] = {};
#pragma GCC unroll 8
        for (int i = g; i < g + kRun; ++i) {
          const __m256i w = load(panel->q[i]);
#pragma GCC unroll 4
          for (int r = 0; r < kRows; ++r)
            part[r] = _mm256_add_epi16(part[r], pair_products<F>(w, broadcast32(a[r * stride].q + 4 * i)));
        }
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) sum[r] = add_products(sum[r], part[r], scales);
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) add_term(*panel, a[r * stride], sum[r], acc[r]);
  }

 private:
  static __m256i pairs_times_sums(const int16_t (*pairs)[8][2], const Row& a) {
    const int16_t* sums = F::kSub == 16 ? a.sums16 : a.sums32;
    __m256i total = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int j = 0; j < kSubs / 2; ++j)
      total = add_products(total, load(pairs[j]), broadcast32(sums + 2 * j));
    return total;
  }

  static void add_term(const Panel& panel, const Row& a, __m256i scaled, float* acc) {
    if constexpr (kOffset) scaled = _mm256_sub_epi32(scaled, pairs_times_sums(panel.offset, a));
    const __m256 d = _mm256_loadu_ps(panel.d), exact = _mm256_cvtepi32_ps(scaled);
    __m256 term;
    if constexpr (F::kMins) {
      const __m256 least = _mm256_cvtepi32_ps(pairs_times_sums(panel.m, a));
      term = _mm256_fmsub_ps(d, exact, _mm256_mul_ps(_mm256_loadu_ps(panel.dmin), least));
    } else {
      term = _mm256_mul_ps(d, exact);
    }
    _mm256_storeu_ps(acc, _mm256_fmadd_ps(_mm256_set1_ps(a.d), term, _mm256_loadu_ps(acc)));
  }
};

}  // namespace
}  // namespace ostinato::cpu::avx2
