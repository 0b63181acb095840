// Small AVX-512 helpers: loads, transposes, sums across lanes.
#pragma once
#include <immintrin.h>

#include "cpu/kernels/blocks.h"

namespace ostinato::cpu::avx512 {

static inline __m512i load(const void* p) { return _mm512_loadu_si512(p); }
static inline __m256i load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
static inline __m128i load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
static inline __m512i broadcast32(const void* p) { return _mm512_set1_epi32(read<int32_t>(p)); }

// The same, in a register: what is used twice is not loaded twice.
static inline __m512i once(__m512i v) {
  asm("" : "+v"(v));
  return v;
}

static inline __m512i join(__m256i low, __m256i high) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

// sums + the products of unsigned bytes u with signed bytes s, four to a sum. The intrinsic of g++ 12 copies
// sums before and after every product, in loops.
static inline void add_products(__m512i& sums, __m512i u, __m512i s) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(u), "v"(s));
}

// A 4 x 4 transpose of 32-bit elements in every 128-bit lane.
static inline void transpose4(__m512i& a, __m512i& b, __m512i& c, __m512i& d) {
  const __m512i ab0 = _mm512_unpacklo_epi32(a, b), ab1 = _mm512_unpackhi_epi32(a, b);
  const __m512i cd0 = _mm512_unpacklo_epi32(c, d), cd1 = _mm512_unpackhi_epi32(c, d);
  a = _mm512_unpacklo_epi64(ab0, cd0);
  b = _mm512_unpackhi_epi64(ab0, cd0);
  c = _mm512_unpacklo_epi64(ab1, cd1);
  d = _mm512_unpackhi_epi64(ab1, cd1);
}

// v[i] lane j <-> v[j] lane i, 32-bit elements.
static inline void transpose16(__m512i v[16]) {
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) transpose4(v[i], v[i + 1], v[i + 2], v[i + 3]);
  // v[4 i + e] now holds, in its 128-bit lane l, element 4 l + e of rows 4 i .. 4 i + 3.
#pragma GCC unroll 4
  for (int e = 0; e < 4; ++e) {
    const __m512i low01 = _mm512_shuffle_i32x4(v[e], v[4 + e], 0x88);
    const __m512i low23 = _mm512_shuffle_i32x4(v[8 + e], v[12 + e], 0x88);
    const __m512i high01 = _mm512_shuffle_i32x4(v[e], v[4 + e], 0xdd);
    const __m512i high23 = _mm512_shuffle_i32x4(v[8 + e], v[12 + e], 0xdd);
    v[e] = _mm512_shuffle_i32x4(low01, low23, 0x88);
    v[8 + e] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
    v[4 + e] = _mm512_shuffle_i32x4(high01, high23, 0x88);
    v[12 + e] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
  }
}

// Sums within 128-bit lanes: lane l of the result is [sum a, sum b, sum c, sum d] of their lanes l.
static inline __m512i sum_lanes(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
  return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

// [sum a, sum b, sum c, sum d] over all 16 elements of each.
static inline __m128i sum4(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i lanes = sum_lanes(a, b, c, d);
  const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(lanes), _mm512_extracti64x4_epi64(lanes, 1));
  return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

// The float16 at `offset` of each of 16 rows.
static inline __m512 halves16(const uint8_t* const rows[16], int64_t offset) {
  alignas(32) uint16_t bits[16];
  for (int i = 0; i < 16; ++i) bits[i] = read<uint16_t>(rows[i] + offset);
  return _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(bits)));
}

// 16 bytes at `offset` of each of 16 rows, as four words: word[i] element r is bytes 4 i .. 4 i + 3 of row r.
struct Words16 {
  __m512i word[4];
};

static inline Words16 words16(const uint8_t* const rows[16], int64_t offset) {
  Words16 w;
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const auto at = [&](int lane) { return load128(rows[4 * lane + i] + offset); };
    __m512i v = _mm512_castsi128_si512(at(0));
    v = _mm512_mask_broadcast_i32x4(v, 0x00f0, at(1));
    v = _mm512_mask_broadcast_i32x4(v, 0x0f00, at(2));
    w.word[i] = _mm512_mask_broadcast_i32x4(v, 0xf000, at(3));
  }
  transpose4(w.word[0], w.word[1], w.word[2], w.word[3]);
  return w;
}

// 64 bytes at `offset` of each of 16 rows; v[i] element r is bytes 4 i .. 4 i + 3 of row r. In four parts of
// 16 bytes: loads that fill lanes leave half of the shuffles that a transpose of whole registers takes.
static inline void columns16(const uint8_t* const rows[16], int64_t offset, __m512i v[16]) {
#pragma GCC unroll 4
  for (int part = 0; part < 4; ++part) {
    const Words16 words = words16(rows, offset + 16 * part);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) v[4 * part + i] = words.word[i];
  }
}

}  // namespace ostinato::cpu::avx512
