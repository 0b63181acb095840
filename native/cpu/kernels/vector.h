// Products in vectors of 256 bits, which AVX2 and AVX-512 share: a block of a few weight rows at a time.
//
// Included by sources of one level each, and local to them, as formats/ is. Products of bytes meet in pairs
// in 16 bits: codes up to 127 times 127 twice stay below 2^15; larger ones are taken as signed bytes, |q|
// times a with the sign of q, where |-128| is 128 as an unsigned byte and two products are at most 2 x 128 x
// 127.
#pragma once
#include <immintrin.h>

#include "cpu/kernels/bytes.h"
#include "cpu/kernels/formats/format.h"
#include "cpu/kernels/prefetch.h"

namespace ostinato::cpu {
namespace {

// Whether codes are multiplied as unsigned bytes, and kZero times the sum of a is subtracted.
template <class F>
constexpr bool kUnsigned = F::kTop <= 127;

template <class F>
BYTES_INLINE __m256i vector_codes(const typename F::Block& block, int c) {
  static_assert(kUnsigned<F> || F::kZero == 128);
  return reinterpret_cast<__m256i>(kUnsigned<F> ? F::codes(block, c) : F::codes(block, c) ^ splat(128));
}

template <class F>
BYTES_INLINE __m256i pair_products(__m256i q, __m256i x) {
  return kUnsigned<F> ? _mm256_maddubs_epi16(q, x)
                      : _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(x, q));
}

// acc + the sums of neighbouring 16-bit products
BYTES_INLINE __m256i add_products(__m256i acc, __m256i a, __m256i b) {
#ifdef __AVX512VNNI__
  return _mm256_dpwssd_epi32(acc, a, b);
#else
  return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b));
#endif
}

BYTES_INLINE __m256i vector_at(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
BYTES_INLINE __m128i half_vector_at(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }

// In each 128-bit lane [sum a, sum b, sum c, sum d] of theirs.
BYTES_INLINE __m256i sum_in_lanes(__m256i a, __m256i b, __m256i c, __m256i d) {
  return _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
}
BYTES_INLINE __m128i low_lane(__m256i v) { return _mm256_castsi256_si128(v); }
BYTES_INLINE __m128i high_lane(__m256i v) { return _mm256_extracti128_si256(v, 1); }

// ---- super-blocks

// Sums of a over sub-blocks, as 16-bit words, times the words of sub-scales or minima: four sums.
template <class F>
BYTES_INLINE __m128i times_sums(__m128i bytes, const SuperRow& a) {
  if constexpr (F::kSub == 32) return _mm_madd_epi16(_mm_cvtepi8_epi16(bytes), half_vector_at(a.sums32));
  const __m256i all = _mm256_madd_epi16(_mm256_cvtepi8_epi16(bytes), vector_at(a.sums16));
  return _mm_add_epi32(low_lane(all), high_lane(all));
}

// 16-bit sub-scales: those of elements 32 c .. 32 c + 15 in word c of the low lane, of the next 16 in the
// high.
template <class F>
BYTES_INLINE __m256i lane_scales(__m128i bytes) {
  if constexpr (F::kSub == 32) return _mm256_broadcastsi128_si256(_mm_cvtepi8_epi16(bytes));
  const __m128i even_odd = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
  return _mm256_cvtepi8_epi16(_mm_shuffle_epi8(bytes, even_odd));
}

// Word c of each lane everywhere in it.
BYTES_INLINE __m256i everywhere(__m256i words, int c) {
  return _mm256_shuffle_epi8(words, _mm256_set1_epi16(static_cast<int16_t>(0x0100 + 0x0202 * c)));
}

// Eight partial sums of sc (code - kZero) a over one block, for kRows activation rows, `stride` records
// apart.
template <class F, int kRows>
BYTES_INLINE void scaled_products(const typename F::Block& block, __m128i sc, const SuperRow* a,
                                  int64_t stride, __m256i* sums) {
  const __m256i scales = lane_scales<F>(sc);
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    sums[r] = _mm256_setzero_si256();
    if constexpr (kUnsigned<F> && F::kZero != 0)
      sums[r] = _mm256_zextsi128_si256(
          _mm_mullo_epi32(times_sums<F>(sc, a[r * stride]), _mm_set1_epi32(-F::kZero)));
  }
#pragma GCC unroll 8
  for (int c = 0; c < 8; ++c) {
    const __m256i q = vector_codes<F>(block, c), scale = everywhere(scales, c);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r)
      sums[r] = add_products(sums[r], pair_products<F>(q, vector_at(a[r * stride].q + 32 * c)), scale);
  }
}

// One number of each of four blocks.
template <class Number>
BYTES_INLINE __m128 four(Number number) {
  return _mm_setr_ps(number(0), number(1), number(2), number(3));
}

// Four weight rows with kRows activation rows.
template <class F, int kRows>
void super_tile(const uint8_t* const rows[4], int64_t k, const SuperRow* a, Prefetch prefetch,
                float (*out)[4]) {
  using Block = typename F::Block;
  const int64_t blocks = k / kSuper;
  __m128 acc[kRows] = {};
  for (int64_t b = 0; b < blocks; ++b, ++a) {
    const int64_t offset = b * sizeof(Block);
    prefetch(4 * offset, 4 * sizeof(Block));
    const auto block = [&](int w) -> const Block& {
      return *reinterpret_cast<const Block*>(rows[w] + offset);
    };
    __m256i scaled[4][kRows];
    __m128i least[4][kRows];
#pragma GCC unroll 4
    for (int w = 0; w < 4; ++w) {
      const Subs subs = F::subs(block(w));
      scaled_products<F, kRows>(block(w), reinterpret_cast<__m128i>(subs.sc), a, blocks, scaled[w]);
      for (int r = 0; F::kMins && r < kRows; ++r)
        least[w][r] = times_sums<F>(reinterpret_cast<__m128i>(subs.m), a[r * blocks]);
    }
    const __m128 d = four([&](int w) { return F::d(block(w)); });
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const __m256i lanes = sum_in_lanes(scaled[0][r], scaled[1][r], scaled[2][r], scaled[3][r]);
      const __m128 sums = _mm_cvtepi32_ps(_mm_add_epi32(low_lane(lanes), high_lane(lanes)));
      __m128 term;
      if constexpr (F::kMins) {
        const __m128i minima = _mm_hadd_epi32(_mm_hadd_epi32(least[0][r], least[1][r]),
                                              _mm_hadd_epi32(least[2][r], least[3][r]));
        const __m128 dmin = four([&](int w) { return F::dmin(block(w)); });
        term = _mm_fmsub_ps(d, sums, _mm_mul_ps(dmin, _mm_cvtepi32_ps(minima)));
      } else {
        term = _mm_mul_ps(d, sums);
      }
      acc[r] = _mm_fmadd_ps(_mm_set1_ps(a[r * blocks].d), term, acc[r]);
    }
  }
  for (int r = 0; r < kRows; ++r) _mm_storeu_ps(out[r], acc[r]);
}

// ---- small blocks

// Sums of 16 activations.
BYTES_INLINE int32_t sum16(const int8_t* q) {
  const __m128i moved = _mm_xor_si128(half_vector_at(q), _mm_set1_epi8(-128));  // by 128 each
  const __m128i sums = _mm_sad_epu8(moved, _mm_setzero_si128());
  return _mm_cvtsi128_si32(sums) + _mm_extract_epi16(sums, 4) - 16 * 128;
}

// minus kZero times the sum of a over elements at .. at + kWidth - 1 of chunk j
template <class F>
BYTES_INLINE int32_t correction(const BlockRow& a, int64_t j, int at) {
  return F::kZero * (F::kWidth == 32 ? a.minus_sums[j] : -sum16(a.q + 32 * j + at));
}

// Eight sums of four products each, those of the first 16 elements in the low lane.
template <class F>
BYTES_INLINE __m256i chunk_products(__m256i q, __m256i x) {
#ifdef __AVX512VNNI__
  if constexpr (kUnsigned<F>) return _mm256_dpbusd_epi32(_mm256_setzero_si256(), q, x);
#endif
  return _mm256_madd_epi16(pair_products<F>(q, x), _mm256_set1_epi16(1));
}

// acc + the terms of four weight rows: from the products of elements at .. at + kWidth - 1 of chunk c of
// their blocks with chunk j of a.
template <class F, class BlockOf>
BYTES_INLINE __m128 small_term(__m128i sums, BlockOf block, int c, const BlockRow& a, int64_t j, int at,
                               __m128 acc) {
  if constexpr (kUnsigned<F>) sums = _mm_add_epi32(sums, _mm_set1_epi32(correction<F>(a, j, at)));
  const __m128 exact = _mm_cvtepi32_ps(sums), da = _mm_set1_ps(a.d[j]);
  const __m128 d = four([&](int w) { return F::d(block(w), (32 * c + at) / F::kWidth); });
  if constexpr (F::kMins) {
    const __m128 total = _mm_set1_ps(static_cast<float>(-a.minus_sums[j]));
    const __m128 least = _mm_mul_ps(four([&](int w) { return F::m(block(w)); }), total);
    return _mm_fmadd_ps(da, _mm_fmadd_ps(d, exact, least), acc);
  } else {
    return _mm_fmadd_ps(_mm_mul_ps(d, da), exact, acc);
  }
}

// Four weight rows with kRows activation rows.
template <class F, int kRows>
void small_tile(const uint8_t* const rows[4], int64_t k, const BlockRow* a, Prefetch prefetch,
                float (*out)[4]) {
  using Block = typename F::Block;
  constexpr int kChunks = F::kElements / 32;
  const int64_t stride = (k + kSuper - 1) / kSuper;
  __m128 acc[kRows] = {};
  for (int64_t chunk = 0; chunk < k / 32; ++chunk) {
    const int64_t offset = chunk / kChunks * sizeof(Block), j = chunk % 8;
    const int c = static_cast<int>(chunk % kChunks);
    if (c == 0) prefetch(4 * offset, 4 * sizeof(Block));
    const auto block = [&](int w) -> const Block& {
      return *reinterpret_cast<const Block*>(rows[w] + offset);
    };
    __m256i q[4];
#pragma GCC unroll 4
    for (int w = 0; w < 4; ++w) q[w] = vector_codes<F>(block(w), c);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const BlockRow& group = a[r * stride + chunk / 8];
      const __m256i x = vector_at(group.q + 32 * j);
      const __m256i lanes = sum_in_lanes(chunk_products<F>(q[0], x), chunk_products<F>(q[1], x),
                                         chunk_products<F>(q[2], x), chunk_products<F>(q[3], x));
      if constexpr (F::kWidth == 32) {
        const __m128i sums = _mm_add_epi32(low_lane(lanes), high_lane(lanes));
        acc[r] = small_term<F>(sums, block, c, group, j, 0, acc[r]);
      } else {
        acc[r] = small_term<F>(low_lane(lanes), block, c, group, j, 0, acc[r]);
        acc[r] = small_term<F>(high_lane(lanes), block, c, group, j, 16, acc[r]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) _mm_storeu_ps(out[r], acc[r]);
}

// ---- panels

// One step (256 columns at most) of kLanes weight rows, as bytes: unsigned codes if `all_unsigned`, else as
// vector_codes has them.
template <class F, bool kAllUnsigned, int kLanes>
BYTES_INLINE void unpack_rows(const uint8_t* const* rows, int64_t first_chunk, int chunks,
                              uint8_t (*out)[256]) {
  constexpr int kChunks = static_cast<int>(block_shape(F::kType).elements / 32);
  for (int r = 0; r < kLanes; ++r) {
    const auto* blocks = reinterpret_cast<const typename F::Block*>(rows[r]);
    for (int c = 0; c < chunks; ++c) {
      const auto& block = blocks[(first_chunk + c) / kChunks];
      const int at = static_cast<int>((first_chunk + c) % kChunks);
      if constexpr (kAllUnsigned)
        store32(out[r] + 32 * c, F::codes(block, at));
      else
        store32(out[r] + 32 * c, reinterpret_cast<Bytes>(vector_codes<F>(block, at)));
    }
  }
}

}  // namespace
}  // namespace ostinato::cpu
