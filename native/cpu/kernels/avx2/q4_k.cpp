// Q4_K on AVX2: single rows, and panels, whose nibbles are transposed before they are parted.
#include "cpu/kernels/formats/q4_k.h"

#include "cpu/kernels/avx2/super.h"
#include "cpu/kernels/level.h"

namespace ostinato::cpu::avx2 {
namespace {

struct Q4_K : Super<cpu::Q4_K> {
  static constexpr int64_t kPanelsFrom = 4;

  static void dots(const uint8_t* const rows[4], int64_t k, const Row* a, Prefetch prefetch, float* out) {
    __m128 acc = _mm_setzero_ps();
    for (int64_t b = 0; b < k / kSuper; ++b) {
      const int64_t offset = b * sizeof(BlockQ4_K);
      prefetch(4 * offset, 4 * sizeof(BlockQ4_K));
      __m256i scaled[4];
      __m128i least[4];
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) {
        const auto& block = *reinterpret_cast<const BlockQ4_K*>(rows[r] + offset);
        const ScalesQ4_K scales = decode_scales(block.scales);
        scaled[r] = scaled_products(block, _mm_cvtepu8_epi16(_mm_loadl_epi64(as_vector(scales.sc))), a[b]);
        const __m128i m = _mm_cvtepu8_epi16(_mm_loadl_epi64(as_vector(scales.m)));
        least[r] = _mm_madd_epi16(m, load128(a[b].sums32));
      }
      const __m128i sums = sum4(scaled[0], scaled[1], scaled[2], scaled[3]);
      const __m128i minima =
          _mm_hadd_epi32(_mm_hadd_epi32(least[0], least[1]), _mm_hadd_epi32(least[2], least[3]));
      const __m128 dmin = halves4(rows, offset + offsetof(BlockQ4_K, dmin));
      const __m128 term = _mm_fmsub_ps(halves4(rows, offset), _mm_cvtepi32_ps(sums),
                                       _mm_mul_ps(dmin, _mm_cvtepi32_ps(minima)));
      acc = _mm_fmadd_ps(_mm_set1_ps(a[b].d), term, acc);
    }
    _mm_storeu_ps(out, acc);
  }

  static void unpack(const uint8_t* const rows[8], int64_t step, int, Panel& panel) {
    const int64_t offset = step * sizeof(BlockQ4_K);
    unpack_head(Words8::of([&](int r) { return rows[r] + offset; }), panel);
    const __m256i nibble = _mm256_set1_epi8(15);
    for (int chunk = 0; chunk < 4; ++chunk) {
      __m256i v[8];
      columns8(rows, offset + offsetof(BlockQ4_K, q) + 32 * chunk, v);
      for (int i = 0; i < 8; ++i) {
        panel.codes.put(16 * chunk + i, _mm256_and_si256(v[i], nibble));
        panel.codes.put(16 * chunk + 8 + i, _mm256_and_si256(_mm256_srli_epi16(v[i], 4), nibble));
      }
    }
  }

 private:
  static const __m128i* as_vector(const uint8_t* p) { return reinterpret_cast<const __m128i*>(p); }

  // Eight partial sums of sc q a over one block.
  static __m256i scaled_products(const BlockQ4_K& block, __m128i sc, const Row& a) {
    const __m256i scales = _mm256_broadcastsi128_si256(sc), nibble = _mm256_set1_epi8(15);
    __m256i acc = _mm256_setzero_si256();
#pragma GCC unroll 4
    for (int chunk = 0; chunk < 4; ++chunk) {
      const __m256i q = load(block.q + 32 * chunk);
      const __m256i low = _mm256_and_si256(q, nibble);
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(q, 4), nibble);
      const __m256i low_products = _mm256_maddubs_epi16(low, load(a.q + 64 * chunk));
      const __m256i high_products = _mm256_maddubs_epi16(high, load(a.q + 64 * chunk + 32));
      acc = _mm256_add_epi32(acc, _mm256_madd_epi16(low_products, everywhere(scales, 2 * chunk)));
      acc = _mm256_add_epi32(acc, _mm256_madd_epi16(high_products, everywhere(scales, 2 * chunk + 1)));
    }
    return acc;
  }

  static __m256i everywhere(__m256i scales, int j) {
    return _mm256_shuffle_epi8(scales, _mm256_set1_epi16(static_cast<int16_t>(0x0100 + 0x0202 * j)));
  }

  // d, dmin and the packed scales: what decode_scales does, for 8 rows at once.
  static void unpack_head(const Words8& head, Panel& panel) {
    const __m256i a = head.word[1], b = head.word[2], c = head.word[3];
    const auto some = [](__m256i word, uint32_t mask) {
      return _mm256_and_si256(word, _mm256_set1_epi32(static_cast<int>(mask)));
    };
    const auto high_six = [&](__m256i nibbles, __m256i upper_two) {
      return _mm256_or_si256(some(nibbles, 0x0f0f0f0f), some(_mm256_srli_epi32(upper_two, 2), 0x30303030));
    };
    put_subs({some(a, 0x3f3f3f3f), high_six(c, a)},
             {some(b, 0x3f3f3f3f), high_six(_mm256_srli_epi32(c, 4), b)}, panel);
    _mm256_store_ps(panel.d, low_halves(head.word[0]));
    _mm256_store_ps(panel.dmin, low_halves(_mm256_srli_epi32(head.word[0], 16)));
  }
};

}  // namespace

void matmul_q4_k(WeightRows w, int64_t k, const void* packed, int64_t rows, float* out, int64_t out_stride) {
  matmul<Q4_K>(w, k, packed, rows, out, out_stride);
}

}  // namespace ostinato::cpu::avx2
