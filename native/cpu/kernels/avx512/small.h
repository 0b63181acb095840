// Small blocks of any format on AVX-512 VNNI, in the shape that matmul.h wants.
#pragma once
#include "cpu/kernels/avx512/lanes.h"
#include "cpu/kernels/matmul.h"
#include "cpu/kernels/vector.h"

namespace ostinato::cpu::avx512 {
namespace {

template <class F>
struct Small {
  using Row = BlockRow;
  static constexpr int kDots = 4, kLanes = 16, kPanels = 2;
  static constexpr int kTileWeights = 4, kTileRows = 2;
  static constexpr int64_t kTilesFrom = 2, kPanelsFrom = 3;
  static constexpr int kScales = 32 / F::kWidth, kChunks = F::kElements / 32;  // of a chunk; of a block

  struct Panel {
    alignas(64) uint8_t q[64][64];  // [k / 4][weight row][k % 4]
    float d[8][kScales][16];        // [k / 32][k / kWidth][weight row]
    float m[8][16];                 // [k / 32][weight row]
  };

  static void dots(const uint8_t* const rows[4], int64_t k, const Row* a, Prefetch prefetch, float* out) {
    small_tile<F, 1>(rows, k, a, prefetch, reinterpret_cast<float (*)[4]>(out));
  }

  template <int kRows>
  static void tile(const uint8_t* const rows[4], int64_t k, const Row* a, Prefetch prefetch,
                   float (*out)[4]) {
    small_tile<F, kRows>(rows, k, a, prefetch, out);
  }

  static void unpack(const uint8_t* const rows[16], int64_t step, int chunks, Panel& panel) {
    alignas(64) uint8_t codes[16][256];
    unpack_rows<F, true, 16>(rows, 8 * step, chunks, codes);
    for (int r = 0; r < 16; ++r) std::memset(codes[r] + 32 * chunks, 0, 256 - 32 * chunks);
    const uint8_t* pointers[16];
    for (int r = 0; r < 16; ++r) pointers[r] = codes[r];
    for (int j = 0; j < chunks; j += 2) {
      __m512i v[16];
      columns16(pointers, 32 * j, v);
      for (int i = 0; i < 16; ++i) _mm512_store_si512(panel.q[8 * j + i], v[i]);
    }
    for (int j = 0; j < chunks; ++j) unpack_scales(rows, 8 * step + j, panel, j);
  }

  template <int kRows>
  static void multiply(const Panel* panels, const Row* a, int64_t stride, int chunks, float (*acc)[32]) {
    constexpr int kGroups = F::kWidth / 4;
    for (int j = 0; j < chunks; ++j)
      for (int s = 0; s < kScales; ++s) {
        __m512i part[kRows][2];
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r)
          part[r][0] = part[r][1] = _mm512_set1_epi32(correction<F>(a[r * stride], j, F::kWidth * s));
#pragma GCC unroll 1
        for (int g = 8 * j + kGroups * s; g < 8 * j + kGroups * (s + 1); ++g) {
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
            add_term(panels[p], a[r * stride], j, s, part[r][p], acc[r] + kLanes * p);
      }
  }

 private:
  static void unpack_scales(const uint8_t* const rows[16], int64_t chunk, Panel& panel, int j) {
    for (int r = 0; r < 16; ++r) {
      const auto& block = reinterpret_cast<const typename F::Block*>(rows[r])[chunk / kChunks];
      const int first = static_cast<int>(chunk % kChunks) * kScales;
      for (int s = 0; s < kScales; ++s) panel.d[j][s][r] = F::d(block, first + s);
      if constexpr (F::kMins) panel.m[j][r] = F::m(block);
    }
  }

  static void add_term(const Panel& panel, const Row& a, int j, int s, __m512i sum, float* acc) {
    const __m512 d = _mm512_loadu_ps(panel.d[j][s]), exact = _mm512_cvtepi32_ps(sum);
    const __m512 da = _mm512_set1_ps(a.d[j]), before = _mm512_loadu_ps(acc);
    __m512 after;
    if constexpr (F::kMins) {
      const __m512 total = _mm512_set1_ps(static_cast<float>(-a.minus_sums[j]));
      const __m512 least = _mm512_mul_ps(_mm512_loadu_ps(panel.m[j]), total);
      after = _mm512_fmadd_ps(da, _mm512_fmadd_ps(d, exact, least), before);
    } else {
      after = _mm512_fmadd_ps(_mm512_mul_ps(d, da), exact, before);
    }
    _mm512_storeu_ps(acc, after);
  }
};

}  // namespace
}  // namespace ostinato::cpu::avx512
