// F32, F16 and BF16 weights: 64 float lanes per sum, in the registers that a Vector describes.
//
// A Vector has Reg, kWidth (floats), zero, load (of floats), fma, sum_tree (of kLanes / kWidth registers),
// kFewRows (weight rows at once where whole sums are kept) and kTileRows (where one register of each sum is
// kept).
//
// An Element has kBytes and load(p): kWidth weights at p as floats; load(p, count), zeros behind the first
// `count`, only where the processor has something better for it than a copy.
#pragma once
#include <algorithm>
#include <cstring>

#include "cpu/kernels/blocks.h"
#include "cpu/kernels/level.h"
#include "cpu/kernels/prefetch.h"

namespace ostinato::cpu {

constexpr int kFloatTile = 4;       // activation rows of a register tile
constexpr int64_t kFloatPass = 64;  // activation rows that stay in the second-level cache

// The first `count` weights at p, of a row that ends with them.
template <class Vector, class Element>
static typename Vector::Reg load_first(const uint8_t* p, int count) {
  if constexpr (requires { Element::load(p, count); }) {
    return Element::load(p, count);
  } else {
    alignas(64) uint8_t padded[Vector::kWidth * Element::kBytes] = {};
    std::memcpy(padded, p, count * Element::kBytes);
    return Element::load(padded);
  }
}

// kCount registers of the sums of kRows weight rows with kTokens activation rows, from register `first` on.
template <class Vector, class Element, int kRows, int kTokens, int kCount>
struct FloatTile {
  using Reg = typename Vector::Reg;
  Reg acc[kRows][kTokens][kCount];

  // The columns of one step of 64 that begin at `at`; load(p, column) reads weights at p.
  template <class Load>
  [[gnu::always_inline]] void add(const uint8_t* const* w, const float* x, int64_t stride, int64_t at,
                                  int first, Load load) {
#pragma GCC unroll 8
    for (int p = 0; p < kCount; ++p) {
      const int64_t column = at + Vector::kWidth * (first + p);
      Reg weights[kRows];
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) weights[r] = load(w[r] + column * Element::kBytes, column);
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t) {
        const Reg values = Vector::load(x + t * stride + column);
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) acc[r][t][p] = Vector::fma(weights[r], values, acc[r][t][p]);
      }
    }
  }

  [[gnu::always_inline]] void run(const uint8_t* const* w, const float* x, int64_t stride, int64_t k,
                                  int first, const Prefetch& prefetch) {
    constexpr int64_t kStep = kRows * kLanes * Element::kBytes;  // bytes of weights
    for (auto& row : acc)
      for (auto& token : row)
        for (Reg& reg : token) reg = Vector::zero();
    int64_t at = 0;
    for (; at + kLanes <= k; at += kLanes) {
      prefetch(at / kLanes * kStep, kStep);
      add(w, x, stride, at, first, [](const uint8_t* p, int64_t) { return Element::load(p); });
    }
    if (at < k)
      add(w, x, stride, at, first, [k](const uint8_t* p, int64_t column) {
        const auto count = static_cast<int>(std::clamp<int64_t>(k - column, 0, Vector::kWidth));
        return load_first<Vector, Element>(p, count);
      });
  }
};

// Columns i .. i + kRows - 1 of kTokens output rows. One activation row: whole sums at once, so that weights
// are read from memory in order. Several: one register of every sum at a time, so that a larger tile fits.
template <class Vector, class Element, int kRows, int kTokens>
static void float_tile(const WeightRows& w, int64_t i, int64_t k, const float* x, float* out,
                       int64_t out_stride, const Prefetch& prefetch = {}) {
  constexpr int kParts = kLanes / Vector::kWidth, kCount = kTokens == 1 ? kParts : 1;
  const uint8_t* rows[kRows];
  for (int r = 0; r < kRows; ++r) rows[r] = w.data + std::min(i + r, w.n - 1) * w.stride;
  typename Vector::Reg sums[kRows][kTokens][kParts];
  for (int first = 0; first < kParts; first += kCount) {
    FloatTile<Vector, Element, kRows, kTokens, kCount> tile;
    tile.run(rows, x, packed_floats(k), k, first, prefetch);
    for (int r = 0; r < kRows; ++r)
      for (int t = 0; t < kTokens; ++t)
        for (int p = 0; p < kCount; ++p) sums[r][t][first + p] = tile.acc[r][t][p];
  }
  for (int r = 0; r < std::min<int64_t>(kRows, w.n - i); ++r)
    for (int t = 0; t < kTokens; ++t) out[t * out_stride + i + r] = Vector::sum_tree(sums[r][t]);
}

template <class Vector, class Element>
static void float_matmul(WeightRows w, int64_t k, const void* packed, int64_t rows, float* out,
                         int64_t out_stride) {
  const auto* x = static_cast<const float*>(packed);
  const int64_t stride = packed_floats(k);
  for (int64_t pass = 0; pass < rows; pass += kFloatPass) {
    const int64_t end = std::min(rows, pass + kFloatPass), tiled = end - (end - pass) % kFloatTile;
    for (int64_t i = 0; tiled > pass && i < w.n; i += Vector::kTileRows)
      for (int64_t t = pass; t < tiled; t += kFloatTile)
        float_tile<Vector, Element, Vector::kTileRows, kFloatTile>(w, i, k, x + t * stride,
                                                                   out + t * out_stride, out_stride);
    for (int64_t i = 0; i < w.n; i += Vector::kFewRows)
      for (int64_t t = tiled; t < end; ++t)
        float_tile<Vector, Element, Vector::kFewRows, 1>(
            w, i, k, x + t * stride, out + t * out_stride, out_stride,
            t == pass ? next_group(w, i, Vector::kFewRows) : Prefetch{});
  }
}

// The product with weights of a float type, given an Element for each of them; nullptr for other types.
template <class Vector, class F32, class F16, class BF16>
static Matmul* find_element(TensorType type) {
  switch (type) {
    case TensorType::kF32:
      return float_matmul<Vector, F32>;
    case TensorType::kF16:
      return float_matmul<Vector, F16>;
    case TensorType::kBF16:
      return float_matmul<Vector, BF16>;
    default:
      return nullptr;
  }
}

}  // namespace ostinato::cpu
