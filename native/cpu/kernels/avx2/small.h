// Small blocks of any format on AVX2, in the shape that matmul.h wants.
#pragma once
#include "cpu/kernels/avx2/panels.h"
#include "cpu/kernels/matmul.h"

namespace ostinato::cpu::avx2 {
namespace {

template <class F>
struct Small {
  using Row = BlockRow;
  static constexpr int kDots = 4, kLanes = 8, kPanels = 2;
  static constexpr int kTileWeights = 4, kTileRows = 2;
  static constexpr int64_t kTilesFrom = 2, kPanelsFrom = 3;
  static constexpr int kScales = 32 / F::kWidth, kChunks = F::kElements / 32;  // of a chunk; of a block
  static constexpr int kGroups = F::kWidth / 4;
  static constexpr bool kSigned = !kUnsigned<F>;
  static constexpr int kRun = kSigned ? 1 : std::min(kGroups, products_in_16_bits(F::kTop));

  struct alignas(32) Panel {
    PanelCodes<kSigned> codes;
    int32_t start[8][kScales][8];  // [k / 32][k / kWidth][weight row]: what signs take away
    float d[8][kScales][8];
    float m[8][8];  // [k / 32][weight row]
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
      put_chunk(v, panel, j);
      put_scales(rows, 8 * step + j, panel, j);
    }
  }

  template <int kRows>
  [[gnu::noinline]] static void multiply(const Panel* panels, const Row* a, int64_t stride, int chunks,
                                         float (*acc)[16]) {
    const __m256i ones[2] = {_mm256_set1_epi16(1), _mm256_set1_epi16(1)};
    for (int j = 0; j < chunks; ++j)
      for (int s = 0; s < kScales; ++s) {
        __m256i sums[kRows][2] = {};
        if constexpr (kRun > 1 && kRun < kGroups) keep_in_memory(sums);
        add_groups<kGroups, kRun, kRows, kSigned>(panels, 8 * j + kGroups * s, a->q,
                                                  stride * int64_t{sizeof(Row)}, ones, sums);
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r)
          for (int p = 0; p < 2; ++p) add_term(panels[p], a[r * stride], j, s, sums[r][p], acc[r] + 8 * p);
      }
  }

 protected:
  // v[r]: chunk j of weight row r, as vector_codes has it.
  static void put_chunk(__m256i v[8], Panel& panel, int j) {
    transpose8(v);
    for (int i = 0; i < 8; ++i) panel.codes.put(8 * j + i, v[i]);
    if constexpr (kSigned)
      for (int s = 0; s < kScales; ++s)
        store(panel.start[j][s], panel.codes.below_zero(8 * j + kGroups * s, kGroups));
  }

 private:
  static void put_scales(const uint8_t* const rows[8], int64_t chunk, Panel& panel, int j) {
    for (int r = 0; r < 8; ++r) {
      const auto& block = reinterpret_cast<const typename F::Block*>(rows[r])[chunk / kChunks];
      const int first = static_cast<int>(chunk % kChunks) * kScales;
      for (int s = 0; s < kScales; ++s) panel.d[j][s][r] = F::d(block, first + s);
      if constexpr (F::kMins) panel.m[j][r] = F::m(block);
    }
  }

  static void add_term(const Panel& panel, const Row& a, int j, int s, __m256i sum, float* acc) {
    if constexpr (kSigned) sum = _mm256_add_epi32(sum, load(panel.start[j][s]));
    if constexpr (!kSigned && F::kZero != 0)
      sum = _mm256_add_epi32(sum, _mm256_set1_epi32(correction<F>(a, j, F::kWidth * s)));
    const __m256 d = _mm256_load_ps(panel.d[j][s]), exact = _mm256_cvtepi32_ps(sum);
    const __m256 da = _mm256_set1_ps(a.d[j]), before = _mm256_load_ps(acc);
    __m256 after;
    if constexpr (F::kMins) {
      const __m256 total = _mm256_set1_ps(static_cast<float>(-a.minus_sums[j]));
      const __m256 least = _mm256_mul_ps(_mm256_load_ps(panel.m[j]), total);
      after = _mm256_fmadd_ps(da, _mm256_fmadd_ps(d, exact, least), before);
    } else {
      after = _mm256_fmadd_ps(_mm256_mul_ps(d, da), exact, before);
    }
    _mm256_store_ps(acc, after);
  }
};

}  // namespace
}  // namespace ostinato::cpu::avx2
