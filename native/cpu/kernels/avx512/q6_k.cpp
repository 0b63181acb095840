// Q6_K on AVX-512 VNNI.
#include "cpu/kernels/avx512/lanes.h"
#include "cpu/kernels/level.h"
#include "cpu/kernels/matmul.h"

namespace ostinato::cpu::avx512 {
namespace {

constexpr int64_t kBytes = sizeof(BlockQ6_K);

struct Q6_K {
  using Row = SuperRow;
  static constexpr int kDots = 4, kLanes = 16, kPanels = 2;
  static constexpr int64_t kFirstLevel = 0;
  static constexpr int64_t kPanelsFrom = 4;

  struct Panel {
    uint8_t q[64][64];           // [k / 4][weight row][k % 4]
    int32_t sc[16][16];          // [k / 16][weight row]
    int16_t sc_pairs[8][16][2];  // pairs of k / 16
    float d[16];
  };

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
    __m512i sum[kRows][2] = {};
    for (int j = 0; j < 16; ++j) {
      __m512i part[kRows][2] = {};
#pragma GCC unroll 1
      for (int g = 4 * j; g < 4 * j + 4; ++g) {
        const __m512i w0 = _mm512_load_si512(panels[0].q[g]), w1 = _mm512_load_si512(panels[1].q[g]);
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) {
          const __m512i x = broadcast32(a[r * stride].q + 4 * g);
          part[r][0] = _mm512_dpbusd_epi32(part[r][0], w0, x);
          part[r][1] = _mm512_dpbusd_epi32(part[r][1], w1, x);
        }
      }
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r)
        for (int p = 0; p < 2; ++p)
          sum[r][p] = _mm512_add_epi32(sum[r][p], _mm512_mullo_epi32(part[r][p], load(panels[p].sc[j])));
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r)
      for (int p = 0; p < 2; ++p) add_term(panels[p], a[r * stride], sum[r][p], acc[r] + kLanes * p);
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
    for (int i = 0; i < 4; ++i) {
      const __m512i word = bytes.word[i];
      for (int j = 0; j < 4; ++j)
        _mm512_store_si512(panel.sc[4 * i + j], _mm512_srai_epi32(_mm512_slli_epi32(word, 24 - 8 * j), 24));
      for (int j = 0; j < 2; ++j) {
        // byte 2 j to the top of the lower half, byte 2 j + 1 to the top of the upper; then sign-extend both
        const __m512i low = _mm512_and_si512(j ? _mm512_srli_epi32(word, 8) : _mm512_slli_epi32(word, 8),
                                             _mm512_set1_epi32(0xff00));
        const __m512i high = _mm512_slli_epi32(_mm512_srli_epi32(word, 16 * j + 8), 24);
        _mm512_store_si512(panel.sc_pairs[2 * i + j], _mm512_srai_epi16(_mm512_or_si512(low, high), 8));
      }
    }
  }

  static void add_term(const Panel& panel, const Row& a, __m512i scaled, float* acc) {
    __m512i offset = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j)
      offset = _mm512_dpwssd_epi32(offset, load(panel.sc_pairs[j]), broadcast32(a.sums16 + 2 * j));
    const __m512i exact = _mm512_sub_epi32(scaled, _mm512_slli_epi32(offset, 5));
    const __m512 term = _mm512_mul_ps(_mm512_load_ps(panel.d), _mm512_cvtepi32_ps(exact));
    _mm512_store_ps(acc, _mm512_fmadd_ps(_mm512_set1_ps(a.d), term, _mm512_load_ps(acc)));
  }
};

}  // namespace

void matmul_q6_k(WeightRows w, int64_t k, const void* packed, int64_t rows, float* out, int64_t out_stride) {
  matmul<Q6_K>(w, k, packed, rows, out, out_stride);
}

}  // namespace ostinato::cpu::avx512
