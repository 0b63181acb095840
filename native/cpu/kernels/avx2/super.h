// Super-blocks of any format on AVX2, in the shape that matmul.h wants.
#pragma once
#include "cpu/kernels/avx2/panels.h"
#include "cpu/kernels/matmul.h"

namespace ostinato::cpu::avx2 {
namespace {

template <class F>
struct Super {
  using Row = SuperRow;
  static constexpr int kDots = 4, kLanes = 8, kPanels = 2;
  static constexpr int kTileWeights = 4, kTileRows = 4;
  static constexpr int64_t kTilesFrom = 2, kPanelsFrom = 5;
  static constexpr int kSubs = kSuper / F::kSub, kGroups = F::kSub / 4;
  static constexpr bool kSigned = !kUnsigned<F>, kOffset = kUnsigned<F> && F::kZero != 0;
  static constexpr int kRun = kSigned ? 1 : std::min(kGroups, products_in_16_bits(F::kTop));

  struct alignas(32) Panel {
    PanelCodes<kSigned> codes;
    int16_t sc[kSubs][8][2];                                // [k / kSub][weight row], twice
    int16_t sc_pairs[kSubs / 2][8][2], m[kSubs / 2][8][2];  // of k / kSub
    int32_t start[8];                                       // what signs take away
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
    alignas(32) uint8_t sc[8][16], m[8][16];
    for (int r = 0; r < 8; ++r) {
      const auto& block = reinterpret_cast<const typename F::Block*>(rows[r])[step];
      const Subs subs = F::subs(block);
      std::memcpy(sc[r], &subs.sc, 16), std::memcpy(m[r], &subs.m, 16);
      panel.d[r] = F::d(block);
      if constexpr (F::kMins) panel.dmin[r] = F::dmin(block);
    }
    put_subs(Words8::of([&](int r) { return sc[r]; }), Words8::of([&](int r) { return m[r]; }), panel);
    alignas(32) uint8_t codes[8][256];
    unpack_rows<F, false, 8>(rows, 8 * step, 8, codes);
    for (int c = 0; c < 8; ++c) {
      __m256i v[8];
#pragma GCC unroll 8
      for (int r = 0; r < 8; ++r) v[r] = load(codes[r] + 32 * c);
      transpose8(v);
      for (int i = 0; i < 8; ++i) panel.codes.put(8 * c + i, v[i]);
    }
    if constexpr (kSigned) put_start(panel);
  }

  // A function of its own, so that g++ keeps no constants of the unpacking in the registers it needs.
  template <int kRows>
  [[gnu::noinline]] static void multiply(const Panel* panels, const Row* a, int64_t stride, int,
                                         float (*acc)[16]) {
    __m256i sums[kRows][2] = {};
#pragma GCC unroll 1
    for (int j = 0; j < kSubs; ++j) {
      if constexpr (kRun > 1) keep_in_memory(sums);
      const __m256i scale[2] = {load(panels[0].sc[j]), load(panels[1].sc[j])};
      add_groups<kGroups, kRun, kRows, kSigned>(panels, kGroups * j, a->q, stride * int64_t{sizeof(Row)},
                                                scale, sums);
    }
    add_terms<kRows>(panels, a, stride, sums, acc);
  }

 protected:
  // Sub-scales and minima of 8 weight rows, four bytes to a word.
  static void put_subs(const Words8& sc, const Words8& m, Panel& panel) {
    for (int j = 0; j < kSubs; ++j) store(panel.sc[j], signed_pair(sc.word[j / 4], j % 4, j % 4));
    for (int j = 0; j < kSubs; j += 2) {
      if constexpr (kOffset) {
        const __m256i pair = signed_pair(sc.word[j / 4], j % 4, j % 4 + 1);
        store(panel.sc_pairs[j / 2], _mm256_mullo_epi16(pair, _mm256_set1_epi16(F::kZero)));
      }
      if constexpr (F::kMins) store(panel.m[j / 2], signed_pair(m.word[j / 4], j % 4, j % 4 + 1));
    }
  }

 private:
  static void put_start(Panel& panel) {
    __m256i start = _mm256_setzero_si256();
    for (int j = 0; j < kSubs; ++j)
      start = add_products(start, panel.codes.below_zero(kGroups * j, kGroups), load(panel.sc[j]));
    store(panel.start, start);
  }

  template <int kRows>
  BYTES_INLINE void add_terms(const Panel* panels, const Row* a, int64_t stride, __m256i (&sums)[kRows][2],
                              float (*acc)[16]) {
    const auto row_sums = [&](int r) { return F::kSub == 16 ? a[r * stride].sums16 : a[r * stride].sums32; };
    __m256i more[kRows][2];
    if constexpr (kOffset) {
      multiply_pairs<kSubs / 2, kRows>([&](int p, int j) { return panels[p].sc_pairs[j]; }, row_sums, more);
      for (int r = 0; r < kRows; ++r)
        for (int p = 0; p < 2; ++p) sums[r][p] = _mm256_sub_epi32(sums[r][p], more[r][p]);
    }
    if constexpr (F::kMins)
      multiply_pairs<kSubs / 2, kRows>([&](int p, int j) { return panels[p].m[j]; }, row_sums, more);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r)
      for (int p = 0; p < 2; ++p) {
        const Panel& panel = panels[p];
        if constexpr (kSigned) sums[r][p] = _mm256_add_epi32(sums[r][p], load(panel.start));
        const __m256 d = _mm256_load_ps(panel.d), exact = _mm256_cvtepi32_ps(sums[r][p]);
        __m256 term = _mm256_mul_ps(d, exact);
        if constexpr (F::kMins)
          term = _mm256_fmsub_ps(d, exact,
                                 _mm256_mul_ps(_mm256_load_ps(panel.dmin), _mm256_cvtepi32_ps(more[r][p])));
        float* sum = acc[r] + 8 * p;
        _mm256_store_ps(sum, _mm256_fmadd_ps(_mm256_set1_ps(a[r * stride].d), term, _mm256_load_ps(sum)));
      }
  }
};

}  // namespace
}  // namespace ostinato::cpu::avx2
