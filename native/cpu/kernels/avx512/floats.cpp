// F32 and F16 weights on AVX-512: 64 float lanes per sum, four registers.
#include <algorithm>

#include "cpu/kernels/avx512/lanes.h"
#include "cpu/kernels/level.h"

namespace ostinato::cpu::avx512 {
namespace {

constexpr int kWidth = 16;                // floats of a register
constexpr int kParts = kLanes / kWidth;  // registers of a sum
constexpr int64_t kPass = 64;             // activation rows that stay in the second-level cache

struct F32 {
  static constexpr int kBytes = 4;
  static __m512 load(const uint8_t* p) { return _mm512_loadu_ps(p); }
  static __m512 load(const uint8_t* p, int count) { return _mm512_maskz_loadu_ps((1u << count) - 1, p); }
};

struct F16 {
  static constexpr int kBytes = 2;
  static __m512 load(const uint8_t* p) { return _mm512_cvtph_ps(load256(p)); }
  static __m512 load(const uint8_t* p, int count) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << count) - 1), p));
  }
};

// The halving tree: lanes i and i + 32, then i and i + 16, and so on.
float sum_tree(const __m512 part[kParts]) {
  const __m512 sixteen = _mm512_add_ps(_mm512_add_ps(part[0], part[2]), _mm512_add_ps(part[1], part[3]));
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(sixteen), _mm512_extractf32x8_ps(sixteen, 1));
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

// A tile of kRows weight rows and kTokens activation rows; parts first .. first + kCount - 1 of every sum.
template <class Element, int kRows, int kTokens, int kCount>
void accumulate(const uint8_t* const* w, const float* x, int64_t stride, int64_t k, int first,
                __m512 sums[kRows][kTokens][kParts]) {
  __m512 acc[kRows][kTokens][kCount] = {};
  const auto add = [&](int64_t at, auto&& load_weights) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int p = 0; p < kCount; ++p) {
      const int64_t column = at + kWidth * (first + p);
      __m512 weights[kRows];
#pragma GCC unroll 6
      for (int r = 0; r < kRows; ++r) weights[r] = load_weights(w[r] + column * Element::kBytes, column);
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t) {
        const __m512 values = _mm512_loadu_ps(x + t * stride + column);
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r) acc[r][t][p] = _mm512_fmadd_ps(weights[r], values, acc[r][t][p]);
      }
    }
  };
  int64_t at = 0;
  for (; at + kLanes <= k; at += kLanes)
    add(at, [](const uint8_t* p, int64_t) { return Element::load(p); });
  if (at < k)
    add(at, [k](const uint8_t* p, int64_t column) {
      return Element::load(p, static_cast<int>(std::clamp<int64_t>(k - column, 0, kWidth)));
    });
  for (int r = 0; r < kRows; ++r)
    for (int t = 0; t < kTokens; ++t)
      for (int p = 0; p < kCount; ++p) sums[r][t][first + p] = acc[r][t][p];
}

// Few activation rows: whole sums at once, weights read once from memory. Many: a quarter of every sum at a time,
// so that a larger tile fits the registers.
template <class Element, int kRows, int kTokens>
void tile(const WeightRows& w, int64_t i, int64_t k, const float* x, float* out, int64_t out_stride) {
  const int64_t stride = packed_floats(k);
  const uint8_t* rows[kRows];
  for (int r = 0; r < kRows; ++r) rows[r] = w.data + std::min(i + r, w.n - 1) * w.stride;
  __m512 sums[kRows][kTokens][kParts];
  if constexpr (kTokens == 1) {
    accumulate<Element, kRows, kTokens, kParts>(rows, x, stride, k, 0, sums);
  } else {
    for (int p = 0; p < kParts; ++p) accumulate<Element, kRows, kTokens, 1>(rows, x, stride, k, p, sums);
  }
  for (int r = 0; r < std::min<int64_t>(kRows, w.n - i); ++r)
    for (int t = 0; t < kTokens; ++t) out[t * out_stride + i + r] = sum_tree(sums[r][t]);
}

template <class Element>
void matmul(const WeightRows& w, int64_t k, const float* x, int64_t rows, float* out, int64_t out_stride) {
  const int64_t stride = packed_floats(k);
  for (int64_t pass = 0; pass < rows; pass += kPass) {
    const int64_t end = std::min(rows, pass + kPass);
    for (int64_t i = 0; i < w.n; i += 4) {
      int64_t t = pass;
      for (; t + 4 <= end; t += 4) tile<Element, 4, 4>(w, i, k, x + t * stride, out + t * out_stride, out_stride);
      for (; t < end; ++t) tile<Element, 4, 1>(w, i, k, x + t * stride, out + t * out_stride, out_stride);
    }
  }
}

}  // namespace

void matmul_f32(WeightRows w, int64_t k, const void* packed, int64_t rows, float* out, int64_t out_stride) {
  matmul<F32>(w, k, static_cast<const float*>(packed), rows, out, out_stride);
}

void matmul_f16(WeightRows w, int64_t k, const void* packed, int64_t rows, float* out, int64_t out_stride) {
  matmul<F16>(w, k, static_cast<const float*>(packed), rows, out, out_stride);
}

}  // namespace ostinato::cpu::avx512
