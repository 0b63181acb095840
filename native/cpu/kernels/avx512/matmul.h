// The two loops that every quantised type shares.
//
// Few rows: `dots` reads kDots weight rows from memory and reduces across lanes. More rows: `unpack` brings one
// step (256 columns) of 32 weight rows into byte panels, lane = weight row, that `multiply` uses for all rows.
#pragma once
#include <algorithm>

#include "cpu/kernels/avx512/lanes.h"
#include "cpu/kernels/prefetch.h"

namespace ostinato::cpu::avx512 {

constexpr int kPanel = 16;     // weight rows of a panel
constexpr int kTile = 4;        // activation rows of a register tile; with 5 or more g++ spills the sums
constexpr int64_t kPass = 256;  // activation rows per pass over the weights: they stay in the second-level cache
// Row pointers i .. i + kCount - 1; beyond the end, the last row again.
template <int kCount>
static inline void row_pointers(const WeightRows& w, int64_t first, const uint8_t* rows[kCount]) {
  for (int i = 0; i < kCount; ++i) rows[i] = w.data + std::min(first + i, w.n - 1) * w.stride;
}

template <class Type>
static void matmul_few(const WeightRows& w, int64_t k, const typename Type::Row* a, int64_t rows, float* out,
                       int64_t out_stride) {
  const int64_t stride = (k + kSuper - 1) / kSuper;
  for (int64_t i = 0; i < w.n; i += Type::kDots) {
    const uint8_t* pointers[Type::kDots];
    row_pointers<Type::kDots>(w, i, pointers);
    Prefetch prefetch = next_group(w, i, Type::kDots, Type::kFirstLevel);
    for (int64_t r = 0; r < rows; ++r) {
      float sums[Type::kDots];
      Type::dots(pointers, k, a + r * stride, prefetch, sums);
      prefetch = {};
      std::memcpy(out + r * out_stride + i, sums, sizeof(float) * std::min<int64_t>(Type::kDots, w.n - i));
    }
  }
}


// One step of `count` activation rows.
template <class Type>
static void multiply_all(const typename Type::Panel panels[2], const typename Type::Row* a, int64_t stride,
                         int64_t count, int blocks, float (*acc)[2 * kPanel]) {
  int64_t r = 0;
  for (; r + kTile <= count; r += kTile)
    Type::template multiply<kTile>(panels, a + r * stride, stride, blocks, acc + r);
  a += r * stride;
  acc += r;
  switch (count - r) {
    case 5:
      return Type::template multiply<5>(panels, a, stride, blocks, acc);
    case 4:
      return Type::template multiply<4>(panels, a, stride, blocks, acc);
    case 3:
      return Type::template multiply<3>(panels, a, stride, blocks, acc);
    case 2:
      return Type::template multiply<2>(panels, a, stride, blocks, acc);
    case 1:
      return Type::template multiply<1>(panels, a, stride, blocks, acc);
  }
}

template <class Type>
static void matmul_panels(const WeightRows& w, int64_t k, const typename Type::Row* a, int64_t rows, float* out,
                          int64_t out_stride) {
  const int64_t stride = (k + kSuper - 1) / kSuper;
  alignas(64) float acc[kPass][2 * kPanel];
  alignas(64) typename Type::Panel panels[2];
  for (int64_t i = 0; i < w.n; i += 2 * kPanel) {
    const uint8_t* pointers[2 * kPanel];
    row_pointers<2 * kPanel>(w, i, pointers);
    std::memset(acc, 0, sizeof(acc[0]) * rows);
    for (int64_t step = 0; step < stride; ++step) {
      const int blocks = static_cast<int>(std::min<int64_t>(8, k / 32 - 8 * step));
      Type::unpack(pointers, step, blocks, panels[0]);
      Type::unpack(pointers + kPanel, step, blocks, panels[1]);
      multiply_all<Type>(panels, a + step, stride, rows, blocks, acc);
    }
    const size_t bytes = sizeof(float) * std::min<int64_t>(2 * kPanel, w.n - i);
    for (int64_t r = 0; r < rows; ++r) std::memcpy(out + r * out_stride + i, acc[r], bytes);
  }
}

template <class Type>
static void matmul(WeightRows w, int64_t k, const void* packed, int64_t rows, float* out, int64_t out_stride) {
  const auto* a = static_cast<const typename Type::Row*>(packed);
  if (rows < Type::kPanelsFrom) return matmul_few<Type>(w, k, a, rows, out, out_stride);
  const int64_t stride = (k + kSuper - 1) / kSuper;
  for (int64_t r = 0; r < rows; r += kPass)
    matmul_panels<Type>(w, k, a + r * stride, std::min(kPass, rows - r), out + r * out_stride, out_stride);
}

}  // namespace ostinato::cpu::avx512
