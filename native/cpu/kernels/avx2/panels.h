// Panels of 8 weight rows, each row a 32-bit lane, and the products of two of them with a few activation
// rows.
//
// vpmaddubsw and vpmaddwd set the pace, two a cycle between them, and of all vector operations there are
// four: for 16 weight rows, one activation row and 256 columns 128 vpmaddubsw and as many additions in 16
// bits, and 2 vpmaddwd for every sum that 16 bits can hold. With four activation rows that is 6 loads for 8
// products, so loads, two a cycle, are not the limit, as they are with one panel.
#pragma once
#include "cpu/kernels/avx2/lanes.h"
#include "cpu/kernels/vector.h"

namespace ostinato::cpu::avx2 {
namespace {

// How many products in pairs, codes up to `top`, add up in 16 bits: a power of two. Signed ones do not.
constexpr int products_in_16_bits(int top) {
  int count = 8;
  while (count > 1 && count * 2 * 127 * top > 32767) count /= 2;
  return count;
}

// The codes of 256 columns: [k / 4][weight row][k % 4].
using Bytes8 = uint8_t[64][32];

// Signed codes are magnitudes and signs, 0xff for a minus: |w| times a ^ sign is w a, less |w| where w is
// negative because the complement of a is -a - 1. What that takes away is known when codes are unpacked.
template <bool kSigned>
struct PanelCodes {
  alignas(32) Bytes8 q;
  void put(int group, __m256i v) { store(q[group], v); }
};
template <>
struct PanelCodes<true> {
  alignas(32) Bytes8 q, sign;
  void put(int group, __m256i v) {
    store(q[group], _mm256_abs_epi8(v));
    store(sign[group], _mm256_cmpgt_epi8(_mm256_setzero_si256(), v));
  }
  // The sum of magnitudes with a minus over groups first .. first + count - 1, for every weight row.
  __m256i below_zero(int first, int count) const {
    __m256i sum = _mm256_setzero_si256();
    for (int g = first; g < first + count; ++g) {
      const __m256i below = _mm256_and_si256(load(q[g]), load(sign[g]));
      sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(below, _mm256_set1_epi8(1)));
    }
    return _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
  }
};

template <bool kSigned>
BYTES_INLINE __m256i panel_products(const PanelCodes<kSigned>& codes, int group, __m256i q, __m256i x) {
  if constexpr (kSigned) x = _mm256_xor_si256(x, load(codes.sign[group]));
  return _mm256_maddubs_epi16(q, x);
}

// Neither of these is an instruction. The first has a sum made now: g++ would rather add up products later,
// as a tree, and keep them in memory until then. The second keeps sums in memory, where they leave their
// registers to the parts that they are made of.
BYTES_INLINE void sum_now(__m256i& sum) { asm("" : "+x"(sum)); }
template <int kRows>
BYTES_INLINE void keep_in_memory(__m256i (&sums)[kRows][2]) {
  asm volatile("" : "+m"(sums));
}

template <int kRun>
BYTES_INLINE void add_parts(const __m256i (&part)[2], const __m256i (&scale)[2], __m256i (&sums)[2]) {
#pragma GCC unroll 2
  for (int p = 0; p < 2; ++p) {
    sums[p] = add_products(sums[p], part[p], scale[p]);
    if (kRun == 1) sum_now(sums[p]);
  }
}

// sums[r][p] += scale[p] times the products of kGroups groups of four columns from `first` on, of which kRun
// add up in 16 bits; activation rows begin at x, `bytes` apart.
template <int kGroups, int kRun, int kRows, bool kSigned, class Panel>
BYTES_INLINE void add_groups(const Panel* panels, int first, const int8_t* x, int64_t bytes,
                             const __m256i (&scale)[2], __m256i (*sums)[2]) {
#pragma GCC unroll 1
  for (int run = first; run < first + kGroups; run += kRun) {
    __m256i part[kRows][2] = {};
#pragma GCC unroll 8
    for (int g = run; g < run + kRun; ++g) {
      const __m256i q[2] = {load(panels[0].codes.q[g]), load(panels[1].codes.q[g])};
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const __m256i a = broadcast32(x + r * bytes + 4 * g);
#pragma GCC unroll 2
        for (int p = 0; p < 2; ++p) {
          const __m256i products = panel_products(panels[p].codes, g, q[p], a);
          part[r][p] = g == run ? products : _mm256_add_epi16(part[r][p], products);
          if (kRun > 1) sum_now(part[r][p]);
        }
        if constexpr (kRun == 1) add_parts<kRun>(part[r], scale, sums[r]);
      }
    }
#pragma GCC unroll 4
    for (int r = 0; kRun > 1 && r < kRows; ++r) add_parts<kRun>(part[r], scale, sums[r]);
  }
}

// sums[r][p] = the sums over pairs j of numbers of a weight row and of an activation row; pairs_at(p, j),
// sums_at(r) + 2 j are where they are.
template <int kPairs, int kRows, class PairsAt, class SumsAt>
BYTES_INLINE void multiply_pairs(PairsAt pairs_at, SumsAt sums_at, __m256i (*sums)[2]) {
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) sums[r][0] = sums[r][1] = _mm256_setzero_si256();
#pragma GCC unroll 1
  for (int j = 0; j < kPairs; ++j) {
    const __m256i pairs[2] = {load(pairs_at(0, j)), load(pairs_at(1, j))};
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const __m256i a = broadcast32(sums_at(r) + 2 * j);
      for (int p = 0; p < 2; ++p) sums[r][p] = add_products(sums[r][p], pairs[p], a);
    }
  }
}

}  // namespace
}  // namespace ostinato::cpu::avx2
