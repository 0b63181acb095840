// The loops that every quantised type shares, whatever the instruction level.
//
// One activation row: `single` reads weight rows one after the other; without it `dots` reads kDots of them
// side by side, and reduces across lanes. A few, where a type has kTilesFrom: `tile` unpacks blocks of
// kTileWeights weight rows into registers and uses them for every activation row at once. More: `unpack`
// brings one step (256 columns) of kPanels x kLanes weight rows into byte panels, lane = weight row, which
// `multiply` then uses for every activation row. A sum is the same each way, since its integers are exact
// (sums.md).
#pragma once
#include <algorithm>
#include <utility>

#include "cpu/kernels/blocks.h"
#include "cpu/kernels/prefetch.h"

namespace ostinato::cpu {

constexpr int kTile = 4;  // activation rows of a register tile; with more, g++ spills the sums
constexpr int64_t kPass =
    256;  // activation rows per pass over the weights: they stay in the second-level cache

static inline int64_t steps(int64_t k) { return (k + kSuper - 1) / kSuper; }

// Row pointers first .. first + count - 1; beyond the end, the last row again.
static inline void row_pointers(const WeightRows& w, int64_t first, int count, const uint8_t** rows) {
  for (int i = 0; i < count; ++i) rows[i] = w.data + std::min(first + i, w.n - 1) * w.stride;
}

template <class Type>
static void matmul_few(const WeightRows& w, int64_t k, const typename Type::Row* a, int64_t rows, float* out,
                       int64_t out_stride) {
  for (int64_t i = 0; i < w.n; i += Type::kDots) {
    const uint8_t* pointers[Type::kDots];
    row_pointers(w, i, Type::kDots, pointers);
    Prefetch prefetch = next_group(w, i, Type::kDots);
    for (int64_t r = 0; r < rows; ++r) {
      float sums[Type::kDots];
      Type::dots(pointers, k, a + r * steps(k), prefetch, sums);
      prefetch = {};
      std::memcpy(out + r * out_stride + i, sums, sizeof(float) * std::min<int64_t>(Type::kDots, w.n - i));
    }
  }
}

template <class Type>
static void matmul_singly(const WeightRows& w, int64_t k, const typename Type::Row* a, int64_t rows,
                          float* out, int64_t out_stride) {
  for (int64_t r = 0; r < rows; ++r) Type::single(w, k, a + r * steps(k), out + r * out_stride);
}

// Up to kTileRows activation rows.
template <class Type>
static void multiply_tile(const uint8_t* const* pointers, int64_t k, const typename Type::Row* a,
                          int64_t count, const Prefetch& prefetch, float (*sums)[Type::kTileWeights]) {
  const auto dispatch = [&]<size_t... kIndex>(std::index_sequence<kIndex...>) {
    static_cast<void>(
        ((count == kIndex + 1 && (Type::template tile<kIndex + 1>(pointers, k, a, prefetch, sums), true)) ||
         ...));
  };
  dispatch(std::make_index_sequence<Type::kTileRows>{});
}

template <class Type>
static void matmul_tiles(const WeightRows& w, int64_t k, const typename Type::Row* a, int64_t rows,
                         float* out, int64_t out_stride) {
  for (int64_t i = 0; i < w.n; i += Type::kTileWeights) {
    const uint8_t* pointers[Type::kTileWeights];
    row_pointers(w, i, Type::kTileWeights, pointers);
    Prefetch prefetch = next_group(w, i, Type::kTileWeights);
    const size_t bytes = sizeof(float) * std::min<int64_t>(Type::kTileWeights, w.n - i);
    for (int64_t first = 0; first < rows; first += Type::kTileRows) {
      const int64_t count = std::min<int64_t>(Type::kTileRows, rows - first);
      float sums[Type::kTileRows + 1][Type::kTileWeights];
      multiply_tile<Type>(pointers, k, a + first * steps(k), count, prefetch, sums);
      prefetch = {};
      for (int64_t r = 0; r < count; ++r) std::memcpy(out + (first + r) * out_stride + i, sums[r], bytes);
    }
  }
}

// One step of `count` activation rows, `stride` records apart.
template <class Type, class Acc>
static void multiply_all(const typename Type::Panel* panels, const typename Type::Row* a, int64_t stride,
                         int64_t count, int blocks, Acc* acc) {
  for (; count >= kTile; count -= kTile, a += kTile * stride, acc += kTile)
    Type::template multiply<kTile>(panels, a, stride, blocks, acc);
  switch (count) {
    case 3:
      return Type::template multiply<3>(panels, a, stride, blocks, acc);
    case 2:
      return Type::template multiply<2>(panels, a, stride, blocks, acc);
    case 1:
      return Type::template multiply<1>(panels, a, stride, blocks, acc);
  }
}

template <class Type>
static void matmul_panels(const WeightRows& w, int64_t k, const typename Type::Row* a, int64_t rows,
                          float* out, int64_t out_stride) {
  constexpr int kRows = Type::kPanels * Type::kLanes;
  alignas(64) float acc[kPass][kRows];
  alignas(64) typename Type::Panel panels[Type::kPanels];
  const int64_t last = steps(k) - 1, step_bytes = w.stride / steps(k);
  for (int64_t i = 0; i < w.n; i += kRows) {
    const uint8_t* pointers[kRows];
    row_pointers(w, i, kRows, pointers);
    std::memset(acc, 0, sizeof(acc[0]) * rows);
    for (int64_t step = 0; step < steps(k); ++step) {
      const int blocks = static_cast<int>(std::min<int64_t>(8, k / 32 - 8 * step));
      if (step < last || i + kRows < w.n) {
        const int64_t ahead = step < last ? (step + 1) * step_bytes : kRows * w.stride;
        for (const uint8_t* row : pointers) prefetch_piece(row, ahead, step_bytes);
      }
      for (int p = 0; p < Type::kPanels; ++p)
        Type::unpack(pointers + Type::kLanes * p, step, blocks, panels[p]);
      multiply_all<Type>(panels, a + step, steps(k), rows, blocks, acc);
    }
    const size_t bytes = sizeof(float) * std::min<int64_t>(kRows, w.n - i);
    for (int64_t r = 0; r < rows; ++r) std::memcpy(out + r * out_stride + i, acc[r], bytes);
  }
}

template <class Type>
static void matmul(WeightRows w, int64_t k, const void* packed, int64_t rows, float* out,
                   int64_t out_stride) {
  const auto* a = static_cast<const typename Type::Row*>(packed);
  if constexpr (requires { Type::kTilesFrom; }) {
    if (rows >= Type::kTilesFrom && rows < Type::kPanelsFrom)
      return matmul_tiles<Type>(w, k, a, rows, out, out_stride);
  }
  if (rows < Type::kPanelsFrom) {
    if constexpr (requires { &Type::single; })
      return matmul_singly<Type>(w, k, a, rows, out, out_stride);
    else
      return matmul_few<Type>(w, k, a, rows, out, out_stride);
  }
  for (int64_t r = 0; r < rows; r += kPass)
    matmul_panels<Type>(w, k, a + r * steps(k), std::min(kPass, rows - r), out + r * out_stride, out_stride);
}

}  // namespace ostinato::cpu
