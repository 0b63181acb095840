// Super-blocks of any format on ARM, in the shape that matmul.h wants.
#pragma once
#include "cpu/kernels/matmul.h"
#include "cpu/kernels/neon/tile.h"

namespace ostinato::cpu::OSTINATO_LEVEL {
namespace {

// Sums of a over sub-blocks times bytes, sub-scales or minima: four partial sums.
template <class F>
BYTES_INLINE int32x4_t times_sums(int8x16_t bytes, const SuperRow& a) {
  const int16x8_t low = vmovl_s8(vget_low_s8(bytes));
  const int16_t* sums = F::kSub == 16 ? a.sums16 : a.sums32;
  const int16x8_t first = vld1q_s16(sums);
  int32x4_t total = vmlal_high_s16(vmull_s16(vget_low_s16(low), vget_low_s16(first)), low, first);
  if constexpr (F::kSub == 16) {
    const int16x8_t high = vmovl_high_s8(bytes), second = vld1q_s16(sums + 8);
    total = vmlal_s16(total, vget_low_s16(high), vget_low_s16(second));
    total = vmlal_high_s16(total, high, second);
  }
  return total;
}

// Sums of a over sub-blocks as two planes of bytes: s = 128 high + low, 0 <= low < 128.
struct SumPlanes {
  int8x16_t low, high;

  explicit SumPlanes(const int16_t* sums, bool sixteen) {
    const int16x8_t first = vld1q_s16(sums), second = sixteen ? vld1q_s16(sums + 8) : vdupq_n_s16(0);
    const int16x8_t seven = vdupq_n_s16(127);
    low = vcombine_s8(vmovn_s16(vandq_s16(first, seven)), vmovn_s16(vandq_s16(second, seven)));
    high = vcombine_s8(vshrn_n_s16(first, 7), vshrn_n_s16(second, 7));
  }
};

template <class F>
struct Super {
  using Row = SuperRow;
  using Block = typename F::Block;
  static constexpr int kDots = 4, kLanes = kTileWeights, kPanels = 1;
  static constexpr int64_t kPanelsFrom = 3;
  static constexpr int kSubs = kSuper / F::kSub, kRuns = F::kSub / 16;
  // Codes are multiplied as they are where they fit, and kZero times the sum of a is subtracted.
  static constexpr bool kOffset = F::kTop <= 127 && F::kZero != 0;

  struct Panel {
    alignas(64) int8_t q[16][2 * kCell];  // [k / 16]: two cells
    int8_t m[2 * kCell];                  // minima as weights of columns k / kSub
    int32_t sc[kSubs][kTileWeights];      // [k / kSub][weight row]: what a sub-scale is above the next one
    float d[kTileWeights], dmin[kTileWeights];
  };

  static void dots(const uint8_t* const rows[4], int64_t k, const Row* a, Prefetch prefetch, float* out) {
    float32x4_t acc = vdupq_n_f32(0);
    for (int64_t b = 0; b < k / kSuper; ++b) {
      const int64_t offset = b * sizeof(Block);
      prefetch(4 * offset, 4 * sizeof(Block));
      const auto block = [&](int w) -> const Block& {
        return *reinterpret_cast<const Block*>(rows[w] + offset);
      };
      int32x4_t scaled[4], least[4];
#pragma GCC unroll 1  // side by side they would not fit the registers
      for (int w = 0; w < 4; ++w) {
        const Subs subs = F::subs(block(w));
        scaled[w] = scaled_products(block(w), std::bit_cast<int8x16_t>(subs.sc), a[b]);
        if constexpr (F::kMins) least[w] = times_sums<F>(std::bit_cast<int8x16_t>(subs.m), a[b]);
      }
      const float32x4_t d = four([&](int w) { return F::d(block(w)); });
      const float32x4_t exact = vcvtq_f32_s32(sum4(scaled[0], scaled[1], scaled[2], scaled[3]));
      float32x4_t term = vmulq_f32(d, exact);
      if constexpr (F::kMins) {
        const float32x4_t dmin = four([&](int w) { return F::dmin(block(w)); });
        const int32x4_t minima = sum4(least[0], least[1], least[2], least[3]);
        term = fmsub(d, exact, vmulq_f32(dmin, vcvtq_f32_s32(minima)));
      }
      acc = vfmaq_f32(acc, vdupq_n_f32(a[b].d), term);
    }
    vst1q_f32(out, acc);
  }

  static void unpack(const uint8_t* const rows[kTileWeights], int64_t step, int, Panel& panel) {
    unpack_cells<F>(rows, 8 * step, 8, panel.q);
    int8x16_t m[kTileWeights];
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      int32x4_t sc[4][4];  // [k / kSub / 4][weight row]
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) {
        const int w = 4 * half + r;
        const auto& block = reinterpret_cast<const Block*>(rows[w])[step];
        const Subs subs = F::subs(block);
        const Words16 words(std::bit_cast<int8x16_t>(subs.sc));
        for (int i = 0; i < 4; ++i) sc[i][r] = words.four[i];
        m[w] = std::bit_cast<int8x16_t>(subs.m);
        panel.d[w] = F::d(block);
        if constexpr (F::kMins) panel.dmin[w] = F::dmin(block);
      }
#pragma GCC unroll 4
      for (int i = 0; i < kSubs / 4; ++i) {
        transpose4(sc[i]);
        for (int j = 0; j < 4; ++j) vst1q_s32(panel.sc[4 * i + j] + 4 * half, sc[i][j]);
      }
      for (int j = 0; j + 1 < kSubs; ++j) {
        int32_t* at = panel.sc[j] + 4 * half;
        vst1q_s32(at, vsubq_s32(vld1q_s32(at), vld1q_s32(at + kTileWeights)));
      }
    }
    for (int first = 0; F::kMins && first < kTileWeights; first += kMeeting)
      store_cells(m + first, first, panel.m);
  }

  template <int kRows>
  static void multiply(const Panel* panel, const Row* a, int64_t stride, int, float (*acc)[kTileWeights]) {
    using T = Tile<kRows>;
    // With P[j] the products of sub-blocks 0 .. j, the sum of sc[j] (P[j] - P[j - 1]) is that of
    // (sc[j] - sc[j + 1]) P[j], and no register starts again from zero. What leaves 32 bits on the way comes
    // back.
    T scaled, products;
#pragma GCC unroll 1
    for (int j = 0; j < kSubs; ++j) {
#pragma GCC unroll 2
      for (int run = 0; run < kRuns; ++run) {
        const int i = kRuns * j + run;
        products.add(panel->q[i], [&](int r) { return a[r * stride].q + 16 * i; });
      }
#pragma GCC unroll 4
      for (int part = 0; part < T::kParts; ++part) {
        const int32x4_t sc = T::of_weights(panel->sc[j], part);
#pragma GCC unroll 4
        for (int g = 0; g < T::kGroups; ++g)
          scaled.sum[g][part] = vmlaq_s32(scaled.sum[g][part], products.sum[g][part], sc);
      }
    }
    add_terms(*panel, a, stride, scaled, acc);
  }

 private:
  // Four partial sums of sc (code - kZero) a over one block.
  BYTES_INLINE int32x4_t scaled_products(const Block& block, int8x16_t sc, const Row& a) {
    int32x4_t scaled = vdupq_n_s32(0);
    if constexpr (kOffset) scaled = vmulq_n_s32(times_sums<F>(sc, a), -F::kZero);
    const Words16 words(sc);
#pragma GCC unroll 4
    for (int i = 0; i < kSubs / 4; ++i)
      scaled = vmlaq_s32(scaled, four_sub_blocks(block, i, a.q + 4 * F::kSub * i), words.four[i]);
    return scaled;
  }

  // Sums of code x a over sub-blocks 4 i .. 4 i + 3.
  BYTES_INLINE int32x4_t four_sub_blocks(const Block& block, int i, const int8_t* a) {
    int32x4_t sums[4] = {};
#pragma GCC unroll 4
    for (int c = 0; c < 2 * kRuns; ++c) {
      const int chunk = 2 * kRuns * i + c;
      const int8x16x2_t v = kOffset ? codes<F>(block, chunk) : values<F>(block, chunk);
      int32x4_t &low = sums[2 * c / kRuns], &high = sums[(2 * c + 1) / kRuns];
      low = vdotq_s32(low, v.val[0], load16(a + 32 * c));
      high = vdotq_s32(high, v.val[1], load16(a + 32 * c + 16));
    }
    return sum4(sums[0], sums[1], sums[2], sums[3]);
  }

  // Sums of m a: the sums of a are multiplied with the minima as two planes of bytes.
  template <int kRows>
  BYTES_INLINE Tile<kRows> minima(const Panel& panel, const Row* a, int64_t stride) {
    int8_t planes[2][kRows][16];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const Row& row = a[r * stride];
      const SumPlanes both(F::kSub == 16 ? row.sums16 : row.sums32, F::kSub == 16);
      vst1q_s8(planes[0][r], both.low), vst1q_s8(planes[1][r], both.high);
    }
    Tile<kRows> low, high;
    low.add(panel.m, [&](int r) { return planes[0][r]; });
    high.add(panel.m, [&](int r) { return planes[1][r]; });
    for (int g = 0; g < Tile<kRows>::kGroups; ++g)
      for (int part = 0; part < Tile<kRows>::kParts; ++part)
        low.sum[g][part] = vaddq_s32(low.sum[g][part], vshlq_n_s32(high.sum[g][part], 7));
    return low;
  }

  template <int kRows>
  BYTES_INLINE void add_terms(const Panel& panel, const Row* a, int64_t stride, const Tile<kRows>& scaled,
                              float (*acc)[kTileWeights]) {
    Tile<kRows> least;
    if constexpr (F::kMins) least = minima<kRows>(panel, a, stride);
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const float32x4_t d = vld1q_f32(panel.d + 4 * half), dmin = vld1q_f32(panel.dmin + 4 * half);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const float32x4_t exact = vcvtq_f32_s32(scaled.row(r, half));
        float32x4_t term = vmulq_f32(d, exact);
        if constexpr (F::kMins) term = fmsub(d, exact, vmulq_f32(dmin, vcvtq_f32_s32(least.row(r, half))));
        float* at = acc[r] + 4 * half;
        vst1q_f32(at, vfmaq_f32(vld1q_f32(at), vdupq_n_f32(a[r * stride].d), term));
      }
    }
  }
};

}  // namespace
}  // namespace ostinato::cpu::OSTINATO_LEVEL
