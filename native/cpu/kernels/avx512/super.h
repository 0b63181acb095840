// Super-blocks of any format on AVX-512 VNNI, in the shape that matmul.h wants.
#pragma once
#include "cpu/kernels/avx512/panels.h"
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
  static constexpr int kSubs = kSuper / F::kSub;

  using Product = SuperProduct<F::kSub, F::kTop, F::kZero, F::kMins>;
  using Panel = typename Product::Panel;

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
        panel.sc[j / 2][r][j % 2] = subs.sc[j];
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
    Product::template multiply<kRows>(panels, a, stride, acc);
  }
};

}  // namespace
}  // namespace ostinato::cpu::avx512
