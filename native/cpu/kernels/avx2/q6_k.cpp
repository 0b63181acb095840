// Q6_K on AVX2: single rows, and panels, whose bits are transposed before they are put together.
#include "cpu/kernels/formats/q6_k.h"

#include "cpu/kernels/avx2/super.h"
#include "cpu/kernels/level.h"

namespace ostinato::cpu::avx2 {
namespace {

// The six-bit quants in four registers of bytes, from 32 bytes each of ql (two) and qh: elements l, l + 32, l
// + 64 and l + 96 of half a block, wherever l lies.
struct SixBits {
  __m256i part[4];

  SixBits(__m256i low0, __m256i low1, __m256i high) {
    const __m256i nibble = _mm256_set1_epi8(15), upper = _mm256_set1_epi8(0x30);
    const auto merge = [&](__m256i low, __m256i bits) {
      return _mm256_or_si256(_mm256_and_si256(low, nibble), _mm256_and_si256(bits, upper));
    };
    part[0] = merge(low0, _mm256_slli_epi16(high, 4));
    part[1] = merge(low1, _mm256_slli_epi16(high, 2));
    part[2] = merge(_mm256_srli_epi16(low0, 4), high);
    part[3] = merge(_mm256_srli_epi16(low1, 4), _mm256_srli_epi16(high, 2));
  }
};

struct Q6_K : Super<cpu::Q6_K> {
  static void dots(const uint8_t* const rows[4], int64_t k, const Row* a, Prefetch prefetch, float* out) {
    __m128 acc = _mm_setzero_ps();
    for (int64_t b = 0; b < k / kSuper; ++b) {
      const int64_t offset = b * sizeof(BlockQ6_K);
      prefetch(4 * offset, 4 * sizeof(BlockQ6_K));
      const auto scaled = [&](int r) {
        return scaled_products(*reinterpret_cast<const BlockQ6_K*>(rows[r] + offset), a[b]);
      };
      const __m128i sums = sum4(scaled(0), scaled(1), scaled(2), scaled(3));
      const __m128 term = _mm_mul_ps(halves4(rows, offset + offsetof(BlockQ6_K, d)), _mm_cvtepi32_ps(sums));
      acc = _mm_fmadd_ps(_mm_set1_ps(a[b].d), term, acc);
    }
    _mm_storeu_ps(out, acc);
  }

  static void unpack(const uint8_t* const rows[8], int64_t step, int, Panel& panel) {
    const int64_t offset = step * sizeof(BlockQ6_K);
    const auto sc = Words8::of([&](int r) { return rows[r] + offset + offsetof(BlockQ6_K, sc); });
    put_subs(sc, {}, panel);
    _mm256_store_ps(panel.d, halves8(rows, offset + offsetof(BlockQ6_K, d)));
    for (int half = 0; half < 2; ++half) {
      __m256i low0[8], low1[8], high[8];
      columns8(rows, offset + 64 * half, low0);
      columns8(rows, offset + 64 * half + 32, low1);
      columns8(rows, offset + offsetof(BlockQ6_K, qh) + 32 * half, high);
      for (int i = 0; i < 8; ++i) {
        const SixBits six(low0[i], low1[i], high[i]);
        for (int p = 0; p < 4; ++p) panel.codes.put(32 * half + 8 * p + i, six.part[p]);
      }
    }
  }

 private:
  // Eight partial sums of sc (q - 32) a over one block.
  static __m256i scaled_products(const BlockQ6_K& block, const Row& a) {
    const __m256i scales = _mm256_cvtepi8_epi16(load128(block.sc));
    const __m256i offset = _mm256_slli_epi32(_mm256_madd_epi16(scales, load(a.sums16)), 5);
    __m256i acc = _mm256_sub_epi32(_mm256_setzero_si256(), offset);
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m256i sc = half ? _mm256_permute4x64_epi64(scales, 0b11'10'11'10)
                              : _mm256_permute4x64_epi64(scales, 0b01'00'01'00);
      const SixBits six(load(block.ql + 64 * half), load(block.ql + 64 * half + 32),
                        load(block.qh + 32 * half));
#pragma GCC unroll 4
      for (int p = 0; p < 4; ++p) {
        const __m256i products = _mm256_maddubs_epi16(six.part[p], load(a.q + 128 * half + 32 * p));
        acc = _mm256_add_epi32(acc, _mm256_madd_epi16(products, spread(sc, p)));
      }
    }
    return acc;
  }

  // Scale 2 p of the eight in each lane throughout the low lane, scale 2 p + 1 throughout the high one.
  static __m256i spread(__m256i sc, int p) {
    const __m128i even = _mm_set1_epi16(static_cast<int16_t>(0x0100 + 0x0404 * p));
    const __m128i odd = _mm_set1_epi16(static_cast<int16_t>(0x0302 + 0x0404 * p));
    return _mm256_shuffle_epi8(sc, _mm256_inserti128_si256(_mm256_castsi128_si256(even), odd, 1));
  }
};

}  // namespace

void matmul_q6_k(WeightRows w, int64_t k, const void* packed, int64_t rows, float* out, int64_t out_stride) {
  matmul<Q6_K>(w, k, packed, rows, out, out_stride);
}

}  // namespace ostinato::cpu::avx2
