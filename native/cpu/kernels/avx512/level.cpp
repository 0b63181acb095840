// The AVX-512 level: packing, and the list of its kernels.
#include "cpu/kernels/level.h"

#include "cpu/kernels/avx512/lanes.h"
#include "cpu/kernels/pack.h"

namespace ostinato::cpu::avx512 {

Matmul matmul_q8_0, matmul_q4_0, matmul_q4_k, matmul_q6_k;
Matmul *find_floats(TensorType type), *find_super(TensorType type), *find_grids(TensorType type),
    *find_small(TensorType type);

namespace {

// Sums of 16 consecutive bytes each, as 16 bits.
__m128i sums16(__m512i q) {
  __m512i sums = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1), q);
  sums = _mm512_add_epi32(sums, _mm512_shuffle_epi32(sums, static_cast<_MM_PERM_ENUM>(0b01'00'11'10)));
  sums = _mm512_add_epi32(sums, _mm512_shuffle_epi32(sums, static_cast<_MM_PERM_ENUM>(0b10'11'00'01)));
  const __m512i first = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  return _mm_cvtepi32_epi16(_mm512_castsi512_si128(_mm512_permutexvar_epi32(first, sums)));
}

struct Packer {
  template <int kCount>
  static uint32_t largest(const float* x) {
    __m512i bits = _mm512_setzero_si512();
    for (int i = 0; i < kCount; i += 16)
      bits = _mm512_max_epi32(bits, _mm512_and_si512(load(x + i), _mm512_set1_epi32(0x7fffffff)));
    return static_cast<uint32_t>(_mm512_reduce_max_epi32(bits));
  }

  template <int kCount>
  static void round(const float* x, float inverse, int8_t* q) {
    const __m512 factor = _mm512_set1_ps(inverse);
    for (int i = 0; i < kCount; i += 16) {
      const __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + i), factor));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(q + i), _mm512_cvtsepi32_epi8(rounded));
    }
  }

  // Sums of q, and how large sums of its parts can be.
  static void set_sums(SuperRow& row) {
    alignas(32) int16_t magnitudes[16];
    for (int i = 0; i < 4; ++i) {
      const __m512i q = load(row.q + 64 * i);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(row.sums16 + 4 * i), sums16(q));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(magnitudes + 4 * i), sums16(_mm512_abs_epi8(q)));
    }
    const __m256i one = _mm256_set1_epi16(1), magnitude = load256(magnitudes);
    const __m256i sums = _mm256_madd_epi16(load256(row.sums16), one);
    const __m256i twice = _mm256_add_epi32(_mm256_madd_epi16(magnitude, one), _mm256_abs_epi32(sums));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(row.sums32), _mm256_cvtepi32_epi16(sums));
    row.most16 = static_cast<int16_t>(_mm512_reduce_max_epi32(_mm512_cvtepi16_epi32(magnitude)));
    row.part32 = static_cast<int16_t>(_mm512_reduce_max_epi32(_mm512_zextsi256_si512(twice)) / 2);
  }

  static int32_t sum32(const int8_t* q) {
    const __m256i sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), load256(q));
    return _mm512_reduce_add_epi32(_mm512_zextsi256_si512(sums));
  }
};

Matmul* kernel(TensorType type) {
  switch (type) {
    case TensorType::kQ8_0:
      return matmul_q8_0;
    case TensorType::kQ4_0:
      return matmul_q4_0;
    case TensorType::kQ4_K:
      return matmul_q4_k;
    case TensorType::kQ6_K:
      return matmul_q6_k;
    default:
      break;
  }
  if (Matmul* found = find_floats(type)) return found;
  if (Matmul* found = find_super(type)) return found;
  if (Matmul* found = find_grids(type)) return found;
  return find_small(type);
}

}  // namespace

const Level level = {Isa::kAvx512, "avx512", pack_super<Packer>, pack_blocks<Packer>, kernel};

}  // namespace ostinato::cpu::avx512
