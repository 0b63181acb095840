// Q8_0 and Q4_0 on AVX2.
#include "cpu/kernels/avx2/small.h"
#include "cpu/kernels/formats/q4.h"
#include "cpu/kernels/formats/q8.h"
#include "cpu/kernels/level.h"

namespace ostinato::cpu::avx2 {
namespace {

__m256i add_pairs(__m256i products) { return _mm256_madd_epi16(products, _mm256_set1_epi16(1)); }

// Signed bytes: |w| times a with the sign of w. Two products are at most 2 x 128 x 127 < 2^15, and |-128| is
// 128 as an unsigned byte, so every byte a file may hold is exact.
struct Q8_0 {
  using Format = cpu::Q8_0;
  static __m256i correction(const int32_t*) { return _mm256_setzero_si256(); }

  static __m256i quants(const Format::Block& block) { return load(block.q); }

  static __m256i products(__m256i w, __m256i a) {
    return add_pairs(_mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(a, w)));
  }
};

// Nibbles: products in pairs stay below 2^12, so eight of them add up exactly in 16 bits.
struct Q4_0 {
  using Format = cpu::Q4_0;
  static __m256i correction(const int32_t* minus_sum) { return _mm256_slli_epi32(broadcast32(minus_sum), 3); }

  static __m256i quants(const Format::Block& block) {
    const __m256i both = _mm256_broadcastsi128_si256(load128(block.q));
    return _mm256_and_si256(_mm256_srlv_epi64(both, _mm256_setr_epi64x(0, 0, 4, 4)), _mm256_set1_epi8(15));
  }

  static __m256i products(__m256i w, __m256i a) { return add_pairs(_mm256_maddubs_epi16(w, a)); }
};

template <class Quant>
struct Blocks : Small<typename Quant::Format> {
  using Base = Small<typename Quant::Format>;
  using typename Base::Panel, typename Base::Row;
  using Block = typename Quant::Format::Block;

  static void dots(const uint8_t* const rows[4], int64_t k, const Row* a, Prefetch prefetch, float* out) {
    __m128 acc = _mm_setzero_ps();
    for (int64_t b = 0; b < k / 32; ++b) {
      const int64_t j = b % 8, offset = b * sizeof(Block);
      prefetch(4 * offset, 4 * sizeof(Block));
      const Row& group = a[b / 8];
      const __m256i x = load(group.q + 32 * j);
      const auto products = [&](int r) {
        return Quant::products(Quant::quants(*reinterpret_cast<const Block*>(rows[r] + offset)), x);
      };
      const __m128i correction = _mm256_castsi256_si128(Quant::correction(group.minus_sums + j));
      const __m128i exact =
          _mm_add_epi32(sum4(products(0), products(1), products(2), products(3)), correction);
      const __m128 scale = _mm_mul_ps(halves4(rows, offset), _mm_set1_ps(group.d[j]));
      acc = _mm_fmadd_ps(scale, _mm_cvtepi32_ps(exact), acc);
    }
    _mm_storeu_ps(out, acc);
  }

  static void unpack(const uint8_t* const rows[8], int64_t step, int blocks, Panel& panel) {
    for (int j = 0; j < blocks; ++j) {
      const int64_t offset = (8 * step + j) * sizeof(Block);
      __m256i v[8];
#pragma GCC unroll 8
      for (int r = 0; r < 8; ++r) v[r] = Quant::quants(*reinterpret_cast<const Block*>(rows[r] + offset));
      Base::put_chunk(v, panel, j);
      _mm256_store_ps(panel.d[j][0], halves8(rows, offset));
    }
  }
};

}  // namespace

void matmul_q8_0(WeightRows w, int64_t k, const void* packed, int64_t rows, float* out, int64_t out_stride) {
  matmul<Blocks<Q8_0>>(w, k, packed, rows, out, out_stride);
}

void matmul_q4_0(WeightRows w, int64_t k, const void* packed, int64_t rows, float* out, int64_t out_stride) {
  matmul<Blocks<Q4_0>>(w, k, packed, rows, out, out_stride);
}

}  // namespace ostinato::cpu::avx2
