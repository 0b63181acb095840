// Small AVX2 helpers: loads, transposes, sums across lanes.
#pragma once
#include <immintrin.h>

#include "cpu/kernels/blocks.h"

namespace ostinato::cpu::avx2 {

static inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
static inline __m128i load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
static inline void store(void* p, __m256i v) { _mm256_store_si256(static_cast<__m256i*>(p), v); }
static inline __m256i broadcast32(const void* p) { return _mm256_set1_epi32(read<int32_t>(p)); }

// v[i] lane j <-> v[j] lane i, 32-bit elements.
static inline void transpose8(__m256i v[8]) {
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    const __m256i ab0 = _mm256_unpacklo_epi32(v[i], v[i + 1]), ab1 = _mm256_unpackhi_epi32(v[i], v[i + 1]);
    const __m256i cd0 = _mm256_unpacklo_epi32(v[i + 2], v[i + 3]),
                  cd1 = _mm256_unpackhi_epi32(v[i + 2], v[i + 3]);
    v[i] = _mm256_unpacklo_epi64(ab0, cd0);
    v[i + 1] = _mm256_unpackhi_epi64(ab0, cd0);
    v[i + 2] = _mm256_unpacklo_epi64(ab1, cd1);
    v[i + 3] = _mm256_unpackhi_epi64(ab1, cd1);
  }
#pragma GCC unroll 4
  for (int e = 0; e < 4; ++e) {
    const __m256i low = v[e], high = v[4 + e];
    v[e] = _mm256_permute2x128_si256(low, high, 0x20);
    v[4 + e] = _mm256_permute2x128_si256(low, high, 0x31);
  }
}

// 32 bytes at `offset` of each of 8 rows; v[i] element r is bytes 4 i .. 4 i + 3 of row r.
static inline void columns8(const uint8_t* const rows[8], int64_t offset, __m256i v[8]) {
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) v[i] = load(rows[i] + offset);
  transpose8(v);
}

// 16 bytes of each of 8 rows, as four words: lane r of word i is bytes 4 i .. 4 i + 3 of row r.
struct Words8 {
  __m256i word[4];

  template <class RowAt>
  static Words8 of(RowAt row_at) {
    const auto both = [&](int r) {
      return _mm256_inserti128_si256(_mm256_castsi128_si256(load128(row_at(r))), load128(row_at(r + 4)), 1);
    };
    const __m256i a = both(0), b = both(1), c = both(2), d = both(3);
    const __m256i ab0 = _mm256_unpacklo_epi32(a, b), ab1 = _mm256_unpackhi_epi32(a, b);
    const __m256i cd0 = _mm256_unpacklo_epi32(c, d), cd1 = _mm256_unpackhi_epi32(c, d);
    return {{_mm256_unpacklo_epi64(ab0, cd0), _mm256_unpackhi_epi64(ab0, cd0),
             _mm256_unpacklo_epi64(ab1, cd1), _mm256_unpackhi_epi64(ab1, cd1)}};
  }
};

// Bytes x and y of every 32-bit lane as signed 16-bit numbers, x first.
static inline __m256i signed_pair(__m256i words, int x, int y) {
  const __m128i tops = _mm_setr_epi32(0x00800080, 0x04800480, 0x08800880, 0x0c800c80);
  const __m128i chosen = _mm_add_epi32(tops, _mm_set1_epi32(x << 8 | y << 24));
  return _mm256_srai_epi16(_mm256_shuffle_epi8(words, _mm256_broadcastsi128_si256(chosen)), 8);
}

// [sum a, sum b, sum c, sum d] over all elements of each.
static inline __m128i sum4(__m256i a, __m256i b, __m256i c, __m256i d) {
  const __m256i lanes = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
  return _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
}

// The float16 at `offset` of each of 4 or 8 rows.
static inline __m128 halves4(const uint8_t* const rows[4], int64_t offset) {
  const auto bits = [&](int r) { return static_cast<int16_t>(read<uint16_t>(rows[r] + offset)); };
  return _mm_cvtph_ps(_mm_setr_epi16(bits(0), bits(1), bits(2), bits(3), 0, 0, 0, 0));
}

// The float16 in the low half of every 32-bit lane.
static inline __m256 low_halves(__m256i words) {
  const __m256i low = _mm256_and_si256(words, _mm256_set1_epi32(0xffff));
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0b00'00'10'00);
  return _mm256_cvtph_ps(_mm256_castsi256_si128(packed));
}

static inline __m256 halves8(const uint8_t* const rows[8], int64_t offset) {
  const __m128 low = halves4(rows, offset), high = halves4(rows + 4, offset);
  return _mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1);
}

}  // namespace ostinato::cpu::avx2
