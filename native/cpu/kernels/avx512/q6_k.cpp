// Q6_K on AVX-512 VNNI.
#include "cpu/kernels/avx512/eights.h"
#include "cpu/kernels/avx512/panels.h"
#include "cpu/kernels/level.h"
#include "cpu/kernels/matmul.h"

namespace ostinato::cpu::avx512 {
namespace {

constexpr int64_t kBytes = sizeof(BlockQ6_K);

// For _mm512_shuffle_epi8: four words with bytes first .. first + 3 of each 64-bit element on top, or two
// double words with byte `first`.
template <int kBytesEach>
__m512i byte_to_top(int first);

template <>
__m512i byte_to_top<2>(int first) {
  const __m512i tops = _mm512_broadcast_i32x4(
      _mm_setr_epi8(-128, 0, -128, 1, -128, 2, -128, 3, -128, 8, -128, 9, -128, 10, -128, 11));
  return _mm512_add_epi16(tops, _mm512_set1_epi16(static_cast<int16_t>(first << 8)));
}

template <>
__m512i byte_to_top<4>(int first) {
  const __m512i tops = _mm512_broadcast_i32x4(_mm_setr_epi32(0x00808080, 0x00808080, 0x08808080, 0x08808080));
  return _mm512_add_epi32(tops, _mm512_set1_epi32(first << 24));
}

// Scales of one block in each of eight weight rows.
struct Scales8 {
  __m512i bytes[2];  // sc[0..7], sc[8..15] of every row
  __m512i words[4];  // sc[0..3], sc[4..7], sc[8..11], sc[12..15] of every row
  __m512 d;

  Scales8(const uint8_t* const rows[8], int64_t offset) {
    const Eights sc(rows, offset + offsetof(BlockQ6_K, sc));
    bytes[0] = sc.low, bytes[1] = sc.high;
    for (int i = 0; i < 4; ++i) {
      const __m512i upper = _mm512_shuffle_epi8(bytes[i / 2], byte_to_top<2>(4 * (i % 2)));
      words[i] = _mm512_srai_epi16(upper, 8);
    }
    alignas(16) uint16_t bits[8];
    for (int i = 0; i < 8; ++i) bits[i] = read<uint16_t>(rows[i] + offset + offsetof(BlockQ6_K, d));
    const __m256 in_order = _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(bits)));
    d = _mm512_permutexvar_ps(_mm512_setr_epi32(0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 7, 6, 7),
                              _mm512_castps256_ps512(in_order));
  }
};

struct Q6_K {
  using Row = SuperRow;
  static constexpr int kDots = 4, kLanes = 16, kPanels = 2;
  static constexpr int kTileWeights = 8, kTileRows = 5;
  static constexpr int64_t kTilesFrom = 2, kPanelsFrom = 6;

  using Product = SuperProduct<16, 63, 32, false>;
  using Panel = Product::Panel;

  static void dots(const uint8_t* const rows[4], int64_t k, const Row* a, Prefetch prefetch, float* out) {
    __m128 acc = _mm_setzero_ps();
    for (int64_t b = 0; b < k / kSuper; ++b) {
      const uint8_t* block[4];
      for (int r = 0; r < 4; ++r) {
        block[r] = rows[r] + b * kBytes;
      }
      prefetch(4 * b * kBytes, 4 * kBytes);
      const __m128i exact = sum4(scaled(block[0], a[b]), scaled(block[1], a[b]), scaled(block[2], a[b]),
                                 scaled(block[3], a[b]));
      const __m128 term = _mm_mul_ps(halves4(block), _mm_cvtepi32_ps(exact));
      acc = _mm_fmadd_ps(_mm_set1_ps(a[b].d), term, acc);
    }
    _mm_storeu_ps(out, acc);
  }

  // Eight weight rows with kRows activation rows.
  template <int kRows>
  static void tile(const uint8_t* const rows[8], int64_t k, const Row* a, Prefetch prefetch,
                   float (*out)[8]) {
    constexpr int kPairs = (kRows + 1) / 2;
    const int64_t blocks = k / kSuper;
    __m512 acc[kPairs] = {};
    for (int64_t b = 0; b < blocks; ++b) {
      const Scales8 scales(rows, b * kBytes);
      __m512i sums[kRows] = {};
#pragma GCC unroll 1
      for (int c = 0; c < 4; ++c) {
        add_quarter<kRows>(rows, b * kBytes, c, scales.bytes[c / 2], a + b, blocks, sums);
        prefetch((8 * b + 2 * c) * kBytes, 2 * kBytes);
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        __m512i offset = _mm512_setzero_si512();
        for (int i = 0; i < 4; ++i)
          offset =
              _mm512_dpwssd_epi32(offset, scales.words[i], broadcast64(a[r * blocks + b].sums16 + 4 * i));
        sums[r] = _mm512_sub_epi32(sums[r], _mm512_slli_epi32(offset, 5));
      }
#pragma GCC unroll 4
      for (int p = 0; p < kPairs; ++p) {
        const int x = 2 * p, y = std::min(x + 1, kRows - 1);
        const __m512 term = _mm512_mul_ps(scales.d, _mm512_cvtepi32_ps(sum_adjacent(sums[x], sums[y])));
        acc[p] = _mm512_fmadd_ps(factors(a[x * blocks + b].d, a[y * blocks + b].d), term, acc[p]);
      }
    }
    for (int p = 0; p < kPairs; ++p) store_pair(acc[p], out[2 * p], out[2 * p + 1]);
  }

  static void unpack(const uint8_t* const rows[16], int64_t step, int, Panel& panel) {
    const int64_t offset = step * kBytes;
    panel_scales(words16(rows, offset + offsetof(BlockQ6_K, sc)), panel);
    _mm512_store_ps(panel.d, halves16(rows, offset + offsetof(BlockQ6_K, d)));
    __m512i high[16];
    columns16(rows, offset + offsetof(BlockQ6_K, qh), high);
    const __m512i nibble = _mm512_set1_epi8(15), upper = _mm512_set1_epi8(0x30);
    for (int half = 0; half < 2; ++half) {
      __m512i low[16];
      columns16(rows, offset + 64 * half, low);
      for (int i = 0; i < 16; ++i) {  // four bytes of ql: elements 32 (i / 8) + 4 (i % 8) .. and 64 further
        const __m512i bits = high[8 * half + i % 8];
        const __m512i first = i < 8 ? _mm512_slli_epi16(bits, 4) : _mm512_slli_epi16(bits, 2);
        const __m512i second = i < 8 ? bits : _mm512_srli_epi16(bits, 2);
        _mm512_store_si512(panel.q[32 * half + i], merge(_mm512_and_si512(low[i], nibble), first, upper));
        _mm512_store_si512(panel.q[32 * half + 16 + i],
                           merge(_mm512_and_si512(_mm512_srli_epi16(low[i], 4), nibble), second, upper));
      }
    }
  }

  template <int kRows>
  static void multiply(const Panel* panels, const Row* a, int64_t stride, int, float (*acc)[32]) {
    Product::multiply<kRows>(panels, a, stride, acc);
  }

 private:
  // low | (bits & mask)
  static __m512i merge(__m512i low, __m512i bits, __m512i mask) {
    return _mm512_ternarylogic_epi64(low, bits, mask, 0xf8);
  }

  static __m128 halves4(const uint8_t* const block[4]) {
    constexpr int64_t at = offsetof(BlockQ6_K, d);
    const auto bits = [&](int r) { return static_cast<int16_t>(read<uint16_t>(block[r] + at)); };
    return _mm_cvtph_ps(_mm_setr_epi16(bits(0), bits(1), bits(2), bits(3), 0, 0, 0, 0));
  }

  // The four sub-blocks that share the 16 bytes c of qh.
  template <int kRows>
  [[gnu::always_inline]] static void add_quarter(const uint8_t* const rows[8], int64_t offset, int c,
                                                 __m512i bytes, const Row* a, int64_t stride, __m512i* sums) {
    const int half = c / 2, at = 16 * (c % 2);
    const int64_t low = offset + 64 * half + at;
    const Eights even(rows, low), odd(rows, low + 32), bits(rows, offset + offsetof(BlockQ6_K, qh) + 16 * c);
    __m512i q[4][2];
    unpack4(even.low, odd.low, bits.low, q, 0);
    unpack4(even.high, odd.high, bits.high, q, 1);
    __m512i scales[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
      scales[i] = _mm512_srai_epi32(_mm512_shuffle_epi8(bytes, byte_to_top<4>(2 * i + c % 2)), 24);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const int8_t* x = a[r * stride].q + 128 * half + at;
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        __m512i p = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q[i][0], broadcast64(x + 32 * i));
        p = _mm512_dpbusd_epi32(p, q[i][1], broadcast64(x + 32 * i + 8));
        sums[r] = _mm512_add_epi32(sums[r], _mm512_mullo_epi32(p, scales[i]));
      }
    }
  }

  // Eight bytes of four sub-blocks from their low and high bits.
  static void unpack4(__m512i even, __m512i odd, __m512i bits, __m512i (*q)[2], int at) {
    const __m512i nibble = _mm512_set1_epi8(15), upper = _mm512_set1_epi8(0x30);
    q[0][at] = merge(_mm512_and_si512(even, nibble), _mm512_slli_epi16(bits, 4), upper);
    q[1][at] = merge(_mm512_and_si512(odd, nibble), _mm512_slli_epi16(bits, 2), upper);
    q[2][at] = merge(_mm512_and_si512(_mm512_srli_epi16(even, 4), nibble), bits, upper);
    q[3][at] = merge(_mm512_and_si512(_mm512_srli_epi16(odd, 4), nibble), _mm512_srli_epi16(bits, 2), upper);
  }

  // Sixteen partial sums of sc (q - 32) a over one block.
  static __m512i scaled(const uint8_t* block, const Row& a) {
    const __m256i scales = _mm256_cvtepi8_epi16(load128(block + offsetof(BlockQ6_K, sc)));
    const __m256i offset = _mm256_slli_epi32(_mm256_madd_epi16(scales, load256(a.sums16)), 5);
    __m512i acc = _mm512_zextsi256_si512(_mm256_sub_epi32(_mm256_setzero_si256(), offset));
    const __m512i nibble = _mm512_set1_epi8(15), upper = _mm512_set1_epi8(0x30);
    const __m512i left = join(_mm256_set1_epi16(4), _mm256_set1_epi16(2));
    const __m512i right = join(_mm256_set1_epi16(0), _mm256_set1_epi16(2));
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m512i low = load(block + 64 * half);
      const __m512i high = _mm512_broadcast_i64x4(load256(block + offsetof(BlockQ6_K, qh) + 32 * half));
      const __m512i first = merge(_mm512_and_si512(low, nibble), _mm512_sllv_epi16(high, left), upper);
      const __m512i second =
          merge(_mm512_and_si512(_mm512_srli_epi16(low, 4), nibble), _mm512_srlv_epi16(high, right), upper);
      const __m512i zero = _mm512_setzero_si512();
      // A product of four stays below 2^15, so its low half times the 16-bit scale is exact.
      acc = _mm512_dpwssd_epi32(acc, _mm512_dpbusd_epi32(zero, first, load(a.q + 128 * half)),
                                spread(scales, 8 * half));
      acc = _mm512_dpwssd_epi32(acc, _mm512_dpbusd_epi32(zero, second, load(a.q + 128 * half + 64)),
                                spread(scales, 8 * half + 4));
    }
    return acc;
  }

  // sc[j], sc[j + 1], sc[j + 2], sc[j + 3] in four 32-bit lanes each.
  static __m512i spread(__m256i scales, int j) {
    const __m512i index = _mm512_add_epi32(_mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3),
                                           _mm512_set1_epi32(j));
    return _mm512_maskz_permutexvar_epi16(0x55555555, index, _mm512_castsi256_si512(scales));
  }

  static void panel_scales(const Words16& bytes, Panel& panel) {
    for (int j = 0; j < 8; ++j) _mm512_store_si512(panel.sc[j], signed_pair(bytes.word[j / 2], j % 2 == 1));
  }
};

}  // namespace

void matmul_q6_k(WeightRows w, int64_t k, const void* packed, int64_t rows, float* out, int64_t out_stride) {
  matmul<Q6_K>(w, k, packed, rows, out, out_stride);
}

}  // namespace ostinato::cpu::avx512
