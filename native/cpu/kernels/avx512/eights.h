// Eight weight rows side by side: row i in the 64-bit element i of a register.
//
// Few activation rows are multiplied in this shape: it takes one interleaving of loaded bytes where lanes of
// single rows take a transpose, and it needs no sums across a register: eight activations, one 64-bit
// broadcast, meet all eight rows.
#pragma once
#include "cpu/kernels/avx512/lanes.h"

namespace ostinato::cpu::avx512 {

// 16 bytes at `offset` of rows first, first + 2, first + 4 and first + 6.
static inline __m512i quad(const uint8_t* const rows[8], int first, int64_t offset) {
  const auto at = [&](int i) { return load128(rows[first + i] + offset); };
  __m512i v = _mm512_castsi128_si512(at(0));
  v = _mm512_mask_broadcast_i32x4(v, 0x00f0, at(2));
  v = _mm512_mask_broadcast_i32x4(v, 0x0f00, at(4));
  return _mm512_mask_broadcast_i32x4(v, 0xf000, at(6));
}

// 16 bytes of each of eight rows.
struct Eights {
  __m512i low, high;  // bytes 0-7, 8-15

  Eights(__m512i even, __m512i odd)
      : low(_mm512_unpacklo_epi64(even, odd)), high(_mm512_unpackhi_epi64(even, odd)) {}
  Eights(const uint8_t* const rows[8], int64_t offset)
      : Eights(quad(rows, 0, offset), quad(rows, 1, offset)) {}
};

static inline __m512i broadcast64(const void* p) { return _mm512_set1_epi64(read<int64_t>(p)); }

// The sums of two activation rows x and y lie in one register, in every 128-bit lane [x r, x r + 1, y r, y r
// + 1] for the weight rows r = 0, 2, 4, 6.

// From two partial sums of each row, in [r, r, r + 1, r + 1].
static inline __m512i sum_adjacent(__m512i x, __m512i y) {
  const __m512 a = _mm512_castsi512_ps(x), b = _mm512_castsi512_ps(y);
  return _mm512_add_epi32(_mm512_castps_si512(_mm512_shuffle_ps(a, b, 0x88)),
                          _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0xdd)));
}

// From two partial sums of each row, in [r, r + 1, r, r + 1].
static inline __m512i sum_halves(__m512i x, __m512i y) {
  return _mm512_add_epi32(_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y));
}

// One factor per activation row.
static inline __m512 factors(float x, float y) {
  return _mm512_mask_broadcastss_ps(_mm512_set1_ps(x), 0xcccc, _mm_set_ss(y));
}

// One float16 per weight row, in the lower half of [r, r + 1, r, r + 1].
static inline __m512 halves(__m512i bits) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(bits)); }

static inline void store_pair(__m512 sums, float* x, float* y) {
  const __m512i in_order =
      _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), _mm512_castps_si512(sums));
  const __m512 both = _mm512_castsi512_ps(in_order);
  _mm256_storeu_ps(x, _mm512_castps512_ps256(both));
  _mm256_storeu_ps(y, _mm512_extractf32x8_ps(both, 1));
}

}  // namespace ostinato::cpu::avx512
