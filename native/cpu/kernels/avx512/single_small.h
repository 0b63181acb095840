// One activation row and small blocks: eight float terms for 256 columns, one per block.
#pragma once
#include <array>

#include "cpu/kernels/avx512/single.h"

namespace ostinato::cpu::avx512 {
namespace {

using DoubleWords = std::array<int32_t, 16>;

// Of eight weight rows' scales, [row][block % 4][block / 4] in pairs of halves: those of blocks i and i + 4
// of all rows, then of i + 1 and i + 5.
constexpr DoubleWords scale_pairs(int i) {
  DoubleWords at{};
  for (int n = 0; n < 16; ++n) at[n] = 4 * (n % 8) + i + n / 8;
  return at;
}

alignas(64) constexpr DoubleWords kScalePairs[2] = {scale_pairs(0), scale_pairs(2)};

// Eight blocks of each of eight weight rows.
struct SmallSums {
  alignas(64) int32_t products[kAbreast][16];  // lane i: two parts [i, i + 4, i, i + 4] of blocks i and i + 4
  uint16_t d[kAbreast][4][2];                  // [block % 4][block / 4], float16
};

// Sums of four adjacent columns, lane i of `low` (`high`) of block i (i + 4) -> a row's products.
inline __m512i small_parts(__m512i low, __m512i high) {
  return _mm512_add_epi32(_mm512_unpacklo_epi32(low, high), _mm512_unpackhi_epi32(low, high));
}

// Activations for blocks whose codes are too large by kZero. Terms of a row's blocks 0 .. 3 are added in even
// elements, those of 4 .. 7 in odd ones, which the sum reaches by a copy.
template <int kZero>
struct SmallColumns {
  alignas(64) int8_t q[4][64];
  int32_t correction[4][4];  // lane i: that of blocks i, i + 4, i, i + 4
  float d[4][2];             // of blocks i and i + 4

  SmallColumns() = default;

  // Without q.
  explicit SmallColumns(const BlockRow& a) {
    for (int j = 0; j < 8; ++j) {
      correction[j % 4][j / 4] = correction[j % 4][2 + j / 4] = kZero * a.minus_sums[j];
      d[j % 4][j / 4] = a.d[j];
    }
  }

  // In the even elements of `acc`, a weight row's sum.
  __m512 add_terms(const SmallSums& sums, __m512 acc) const {
    __m512i exact[4];
    for (int p = 0; p < 4; ++p) exact[p] = rows(sums, 2 * p);
    transpose_lanes(exact);
    __m512 scale[4];
    scales(sums, 0, scale);
    scales(sums, 2, scale + 2);
    __m512 integers[4];
    for (int i = 0; i < 4; ++i) integers[i] = _mm512_cvtepi32_ps(exact[i]);
    for (int i = 0; i < 4; ++i) acc = _mm512_fmadd_ps(scale[i], integers[i], acc);
    acc = _mm512_moveldup_ps(acc);
    for (int i = 0; i < 4; ++i) acc = _mm512_fmadd_ps(scale[i], integers[i], acc);
    return _mm512_movehdup_ps(acc);
  }

 private:
  // Lane i: blocks i and i + 4 of row r, then of row r + 1.
  __m512i rows(const SmallSums& sums, int r) const {
    const __m512i x = load(sums.products[r]), y = load(sums.products[r + 1]);
    const __m512i both = _mm512_add_epi32(_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y));
    return _mm512_add_epi32(both, load(correction));
  }

  // v[p] lane i <-> v[i] lane p.
  static void transpose_lanes(__m512i v[4]) {
    const __m512i a = _mm512_shuffle_i32x4(v[0], v[1], 0x44), b = _mm512_shuffle_i32x4(v[0], v[1], 0xee);
    const __m512i c = _mm512_shuffle_i32x4(v[2], v[3], 0x44), e = _mm512_shuffle_i32x4(v[2], v[3], 0xee);
    v[0] = _mm512_shuffle_i32x4(a, c, 0x88);
    v[1] = _mm512_shuffle_i32x4(a, c, 0xdd);
    v[2] = _mm512_shuffle_i32x4(b, e, 0x88);
    v[3] = _mm512_shuffle_i32x4(b, e, 0xdd);
  }

  // d d_a of blocks i and i + 4, then of i + 1 and i + 5.
  void scales(const SmallSums& sums, int i, __m512 scale[2]) const {
    const __m512i halves =
        _mm512_permutex2var_epi32(load(sums.d), load(kScalePairs[i / 2].data()), load(sums.d + 4));
    const auto times = [&](__m256i half, const float* with) {
      return _mm512_mul_ps(_mm512_cvtph_ps(half),
                           _mm512_castsi512_ps(_mm512_set1_epi64(read<int64_t>(with))));
    };
    scale[0] = times(_mm512_castsi512_si256(halves), d[i]);
    scale[1] = times(_mm512_extracti64x4_epi64(halves, 1), d[i + 1]);
  }
};

// Adds eight terms per step.
struct SmallTerms {
  template <class Columns>
  static void add_terms(const SmallSums* sums, const Columns* x, int64_t steps, float* acc) {
    __m512 total = _mm512_castsi512_ps(_mm512_cvtepu32_epi64(load256(acc)));
    for (int64_t s = 0; s < steps; ++s) total = x[s].add_terms(sums[s], total);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(acc), _mm512_cvtepi64_epi32(_mm512_castps_si512(total)));
  }
};

}  // namespace
}  // namespace ostinato::cpu::avx512
