// Small blocks of any format on AVX2, in the shape that matmul.h wants.
#pragma once
#include "cpu/kernels/avx2/lanes.h"
#include "cpu/kernels/matmul.h"
#include "cpu/kernels/vector.h"

namespace ostinato::cpu::avx2 {
namespace {

template <class F>
struct Small {
  using Row = BlockRow;
  static constexpr int kDots = 4, kLanes = 8, kPanels = 1;
  static constexpr int kTileWeights = 4, kTileRows = 2;
  static constexpr int64_t kTilesFrom = 2, kPanelsFrom = 3;
  static constexpr int kScales = 32 / F::kWidth, kChunks = F::kElements / 32;  // of a chunk; of a block

  struct Panel {
    alignas(32) uint8_t q[64][32];  // [k / 4][weight row][k % 4]
    float d[8][kScales][8];         // [k / 32][k / kWidth][weight row]
    float m[8][8];                  // [k / 32][weight row]
  };

  static void dots(const uint8_t* const rows[4], int64_t k, const Row* a, Prefetch prefetch, float* out) {
    small_tile<F, 1>(rows, k, a, prefetch, reinterpret_cast<float (*)[4]>(out));
  }

  template <int kRows>
  static void tile(const uint8_t* const rows[4], int64_t k, const Row* a, Prefetch prefetch,
                   float (*out)[4]) {
    small_tile<F, kRows>(rows, k, a, prefetch, out);
  }

  static void unpack(const uint8_t* const rows[8], int64_t step, int chunks, Panel& panel) {
    alignas(32) uint8_t codes[8][256];
    unpack_rows<F, false, 8>(rows, 8 * step, chunks, codes);
    for (int j = 0; j < chunks; ++j) {
      __m256i v[8];
#pragma GCC unroll 8
      for (int r = 0; r < 8; ++r) v[r] = load(codes[r] + 32 * j);
      transpose8(v);
      for (int i = 0; i < 8; ++i) store(panel.q[8 * j + i], v[i]);
      unpack_scales(rows, 8 * step + j, panel, j);
    }
  }

  template <int kRows>
  static void multiply(const Panel* panel, const Row* a, int64_t stride, int chunks, float (*acc)[8]) {
    constexpr int kGroups = F::kWidth / 4;
    for (int j = 0; j < chunks; ++j)
      for (int s = 0; s < kScales; ++s) {
        __m256i sum[kRows];
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r)
          sum[r] = _mm256_set1_epi32(kUnsigned<F> ? correction<F>(a[r * stride], j, F::kWidth * s) : 0);
#pragma GCC unroll 1
        for (int g = 8 * j + kGroups * s; g < 8 * j + kGroups * (s + 1); ++g) {
          const __m256i w = load(panel->q[g]);
#pragma GCC unroll 4
          for (int r = 0; r < kRows; ++r)
            sum[r] = add_products(sum[r], pair_products<F>(w, broadcast32(a[r * stride].q + 4 * g)),
                                  _mm256_set1_epi16(1));
        }
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) add_term(*panel, a[r * stride], j, s, sum[r], acc[r]);
      }
  }

 private:
  static void unpack_scales(const uint8_t* const rows[8], int64_t chunk, Panel& panel, int j) {
    for (int r = 0; r < 8; ++r) {
      const auto& block = reinterpret_cast<const typename F::Block*>(rows[r])[chunk / kChunks];
      const int first = static_cast<int>(chunk % kChunks) * kScales;
      for (int s = 0; s < kScales; ++s) panel.d[j][s][r] = F::d(block, first + s);
      if constexpr (F::kMins) panel.m[j][r] = F::m(block);
    }
  }

  static void add_term(const Panel& panel, const Row& a, int j, int s, __m256i sum, float* acc) {
    const __m256 d = _mm256_loadu_ps(panel.d[j][s]), exact = _mm256_cvtepi32_ps(sum);
    const __m256 da = _mm256_set1_ps(a.d[j]), before = _mm256_loadu_ps(acc);
    __m256 after;
    if constexpr (F::kMins) {
      const __m256 total = _mm256_set1_ps(static_cast<float>(-a.minus_sums[j]));
      const __m256 least = _mm256_mul_ps(_mm256_loadu_ps(panel.m[j]), total);
      after = _mm256_fmadd_ps(da, _mm256_fmadd_ps(d, exact, least), before);
    } else {
      after = _mm256_fmadd_ps(_mm256_mul_ps(d, da), exact, before);
    }
    _mm256_storeu_ps(acc, after);
  }
};

}  // namespace
}  // namespace ostinato::cpu::avx2
