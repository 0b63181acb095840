// The AVX2 level: packing, and the list of its kernels.
#include "cpu/kernels/level.h"

#include "cpu/kernels/avx2/lanes.h"
#include "cpu/kernels/pack.h"

namespace ostinato::cpu::avx2 {

Matmul matmul_q8_0, matmul_q4_0, matmul_q4_k, matmul_q6_k;
Matmul *find_floats(TensorType type), *find_super(TensorType type), *find_grids(TensorType type),
    *find_small(TensorType type);

namespace {

int32_t largest_element(__m256i v) {
  __m128i most = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0b01'00'11'10));
  return _mm_cvtsi128_si32(_mm_max_epi32(most, _mm_shuffle_epi32(most, 0b10'11'00'01)));
}

int32_t sum16(const int8_t* q) {
  const __m128i pairs = _mm_madd_epi16(_mm_maddubs_epi16(_mm_set1_epi8(1), load128(q)), _mm_set1_epi16(1));
  const __m128i twice = _mm_hadd_epi32(pairs, pairs);
  return _mm_cvtsi128_si32(_mm_hadd_epi32(twice, twice));
}

struct Packer {
  template <int kCount>
  static uint32_t largest(const float* x) {
    __m256i bits = _mm256_setzero_si256();
    for (int i = 0; i < kCount; i += 8)
      bits = _mm256_max_epi32(bits, _mm256_and_si256(load(x + i), _mm256_set1_epi32(0x7fffffff)));
    return static_cast<uint32_t>(largest_element(bits));
  }

  template <int kCount>
  static void round(const float* x, float inverse, int8_t* q) {
    const __m256 factor = _mm256_set1_ps(inverse);
    const auto rounded = [&](int i) {
      return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), factor));
    };
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // packing works within 128-bit lanes
    for (int i = 0; i < kCount; i += 32) {
      const __m256i low = _mm256_packs_epi32(rounded(i), rounded(i + 8));
      const __m256i high = _mm256_packs_epi32(rounded(i + 16), rounded(i + 24));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(q + i),
                          _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order));
    }
  }

  static void set_sums(SuperRow& row) {
    for (int j = 0; j < 16; ++j) row.sums16[j] = static_cast<int16_t>(sum16(row.q + 16 * j));
    for (int j = 0; j < 8; ++j)
      row.sums32[j] = static_cast<int16_t>(row.sums16[2 * j] + row.sums16[2 * j + 1]);
    measure(row);
  }

  static int32_t sum32(const int8_t* q) { return sum16(q) + sum16(q + 16); }
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

const Level level = {Isa::kAvx2, "avx2", pack_super<Packer>, pack_blocks<Packer>, kernel};

}  // namespace ostinato::cpu::avx2
