// Q4_K on AVX2: products of bytes in pairs stay below 2^12, so eight of them add up exactly in 16 bits.
#include "cpu/kernels/avx2/lanes.h"
#include "cpu/kernels/level.h"
#include "cpu/kernels/matmul.h"

namespace ostinato::cpu::avx2 {
namespace {

struct Q4_K {
  using Row = SuperRow;
  static constexpr int kDots = 4, kLanes = 8, kPanels = 1;
  static constexpr int64_t kPanelsFrom = 3;

  struct Panel {
    alignas(32) uint8_t q[64][32];  // [k / 4][weight row][k % 4]
    int16_t sc[8][8][2];            // [k / 32][weight row], twice
    int16_t m[4][8][2];             // pairs of k / 32
    float d[8], dmin[8];
  };

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
    for (int r = 0; r < 8; ++r) {
      const ScalesQ4_K scales = decode_scales(rows[r] + offset + offsetof(BlockQ4_K, scales));
      for (int j = 0; j < 8; ++j) {
        panel.sc[j][r][0] = panel.sc[j][r][1] = scales.sc[j];
        panel.m[j / 2][r][j % 2] = scales.m[j];
      }
    }
    _mm256_storeu_ps(panel.d, halves8(rows, offset));
    _mm256_storeu_ps(panel.dmin, halves8(rows, offset + offsetof(BlockQ4_K, dmin)));
    const __m256i nibble = _mm256_set1_epi8(15);
    for (int chunk = 0; chunk < 4; ++chunk) {
      __m256i v[8];
      columns8(rows, offset + offsetof(BlockQ4_K, q) + 32 * chunk, v);
      for (int i = 0; i < 8; ++i) {
        store(panel.q[16 * chunk + i], _mm256_and_si256(v[i], nibble));
        store(panel.q[16 * chunk + 8 + i], _mm256_and_si256(_mm256_srli_epi16(v[i], 4), nibble));
      }
    }
  }

  template <int kRows>
  static void multiply(const Panel* panel, const Row* a, int64_t stride, int, float (*acc)[8]) {
    __m256i sum[kRows] = {};
    for (int j = 0; j < 8; ++j) {
      __m256i part[kRows] = {};
#pragma GCC unroll 4
      for (int g = 8 * j; g < 8 * j + 8; ++g) {
        const __m256i w = load(panel->q[g]);
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r)
          part[r] = _mm256_add_epi16(part[r], _mm256_maddubs_epi16(w, broadcast32(a[r * stride].q + 4 * g)));
      }
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r)
        sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(part[r], load(panel->sc[j])));
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) add_term(*panel, a[r * stride], sum[r], acc[r]);
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

  static void add_term(const Panel& panel, const Row& a, __m256i scaled, float* acc) {
    __m256i least = _mm256_setzero_si256();
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j)
      least = _mm256_add_epi32(least, _mm256_madd_epi16(load(panel.m[j]), broadcast32(a.sums32 + 2 * j)));
    const __m256 minima = _mm256_mul_ps(_mm256_loadu_ps(panel.dmin), _mm256_cvtepi32_ps(least));
    const __m256 term = _mm256_fmsub_ps(_mm256_loadu_ps(panel.d), _mm256_cvtepi32_ps(scaled), minima);
    _mm256_storeu_ps(acc, _mm256_fmadd_ps(_mm256_set1_ps(a.d), term, _mm256_loadu_ps(acc)));
  }
};

}  // namespace

void matmul_q4_k(WeightRows w, int64_t k, const void* packed, int64_t rows, float* out, int64_t out_stride) {
  matmul<Q4_K>(w, k, packed, rows, out, out_stride);
}

}  // namespace ostinato::cpu::avx2
