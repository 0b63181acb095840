// Small blocks of any format on ARM, in the shape that matmul.h wants.
#pragma once
#include "cpu/kernels/matmul.h"
#include "cpu/kernels/neon/tile.h"

namespace ostinato::cpu::OSTINATO_LEVEL {
namespace {

template <class F>
struct Small {
  using Row = BlockRow;
  using Block = typename F::Block;
  static constexpr int kDots = 4, kLanes = kTileWeights, kPanels = 1;
  static constexpr int64_t kPanelsFrom = 3;
  static constexpr int kScales = 32 / F::kWidth, kChunks = F::kElements / 32;  // of a chunk; of a block
  // Codes are multiplied as they are where they fit, and kZero times the sum of a is subtracted: where that
  // is kept.
  static constexpr bool kOffset = F::kTop <= 127 && F::kZero != 0 && F::kWidth == 32;

  struct Panel {
    alignas(64) int8_t q[16][2 * kCell];  // [k / 16]: two cells
    float d[8][kScales][kTileWeights];    // [k / 32][k / kWidth][weight row]
    float m[8][kTileWeights];             // [k / 32][weight row]
  };

  static void dots(const uint8_t* const rows[4], int64_t k, const Row* a, Prefetch prefetch, float* out) {
    float32x4_t acc = vdupq_n_f32(0);
    for (int64_t chunk = 0; chunk < k / 32; ++chunk) {
      const int64_t offset = chunk / kChunks * sizeof(Block), j = chunk % 8;
      const int c = static_cast<int>(chunk % kChunks);
      if (c == 0) prefetch(4 * offset, 4 * sizeof(Block));
      const auto block = [&](int w) -> const Block& {
        return *reinterpret_cast<const Block*>(rows[w] + offset);
      };
      acc = add_chunk(block, c, a[chunk / 8], j, acc);
    }
    vst1q_f32(out, acc);
  }

  static void unpack(const uint8_t* const rows[kTileWeights], int64_t step, int chunks, Panel& panel) {
    unpack_cells<F>(rows, 8 * step, chunks, panel.q);
    for (int j = 0; j < chunks; ++j) {
      const int64_t chunk = 8 * step + j;
      const int first = static_cast<int>(chunk % kChunks) * kScales;
#pragma GCC unroll 8
      for (int r = 0; r < kTileWeights; ++r) {
        const auto& block = reinterpret_cast<const Block*>(rows[r])[chunk / kChunks];
        for (int s = 0; s < kScales; ++s) panel.d[j][s][r] = F::d(block, first + s);
        if constexpr (F::kMins) panel.m[j][r] = F::m(block);
      }
    }
  }

  template <int kRows>
  static void multiply(const Panel* panel, const Row* a, int64_t stride, int chunks,
                       float (*acc)[kTileWeights]) {
    using T = Tile<kRows>;
    float32x4_t sums[T::kGroups][T::kParts];
    by_register<T>([&](int g, int part) { sums[g][part] = T::load(acc, g, part); });
#pragma GCC unroll 1
    for (int j = 0; j < chunks; ++j)
#pragma GCC unroll 2
      for (int s = 0; s < kScales; ++s) {
        T products;
#pragma GCC unroll 2
        for (int run = 0; run < 2 / kScales; ++run) {
          const int i = 2 * j + s + run;
          products.add(panel->q[i], [&](int r) { return a[r * stride].q + 16 * i; });
        }
        by_register<T>([&](int g, int part) {
          const float32x4_t da = T::of_rows([&](int r) { return a[r * stride].d[j]; }, g);
          const float32x4_t d = T::of_weights(panel->d[j][s], part);
          float32x4_t least = {};
          if constexpr (F::kMins) {
            const auto total = [&](int r) { return static_cast<float>(-a[r * stride].minus_sums[j]); };
            least = vmulq_f32(T::of_weights(panel->m[j], part), T::of_rows(total, g));
          }
          sums[g][part] = add_term(products.sum[g][part], d, least, da, sums[g][part]);
        });
      }
    by_register<T>([&](int g, int part) { T::store(acc, g, part, sums[g][part]); });
  }

 private:
  // Calls body(g, part) for every register of a tile.
  template <class T, class Body>
  BYTES_INLINE void by_register(Body body) {
#pragma GCC unroll 4
    for (int g = 0; g < T::kGroups; ++g)
#pragma GCC unroll 4
      for (int part = 0; part < T::kParts; ++part) body(g, part);
  }

  // `least`: m times the sum of a, rounded, where there are minima.
  BYTES_INLINE float32x4_t add_term(int32x4_t sums, float32x4_t d, float32x4_t least, float32x4_t da,
                                    float32x4_t acc) {
    const float32x4_t exact = vcvtq_f32_s32(sums);
    if constexpr (F::kMins) return vfmaq_f32(acc, da, vfmaq_f32(least, d, exact));
    return vfmaq_f32(acc, vmulq_f32(d, da), exact);
  }

  // One activation row: acc + the terms of chunk c of four blocks with chunk j of a.
  template <class BlockOf>
  BYTES_INLINE float32x4_t add_chunk(BlockOf block, int c, const Row& a, int64_t j, float32x4_t acc) {
    const int8x16_t low = load16(a.q + 32 * j), high = load16(a.q + 32 * j + 16);
    int32x4_t sums[kScales][4];
#pragma GCC unroll 4
    for (int w = 0; w < 4; ++w) {
      const int8x16x2_t v = kOffset ? codes<F>(block(w), c) : values<F>(block(w), c);
      sums[0][w] = vdotq_s32(vdupq_n_s32(0), v.val[0], low);
      int32x4_t& last = sums[kScales - 1][w];
      last = vdotq_s32(kScales == 1 ? last : vdupq_n_s32(0), v.val[1], high);
    }
#pragma GCC unroll 2
    for (int s = 0; s < kScales; ++s) {
      int32x4_t exact = sum4(sums[s][0], sums[s][1], sums[s][2], sums[s][3]);
      if constexpr (kOffset) exact = vaddq_s32(exact, vdupq_n_s32(F::kZero * a.minus_sums[j]));
      float32x4_t least = {};
      if constexpr (F::kMins)
        least =
            vmulq_n_f32(four([&](int w) { return F::m(block(w)); }), static_cast<float>(-a.minus_sums[j]));
      acc = add_term(exact, scales(block, (32 * c + 16 * s) / F::kWidth), least, vdupq_n_f32(a.d[j]), acc);
    }
    return acc;
  }

  template <class BlockOf>
  BYTES_INLINE float32x4_t scales(BlockOf block, int j) {
    if constexpr (requires { requires sizeof(Block::d) == 2; })  // a float16
      return four_halves([&](int w) { return block(w).d; });
    else
      return four([&](int w) { return F::d(block(w), j); });
  }
};

}  // namespace
}  // namespace ostinato::cpu::OSTINATO_LEVEL
