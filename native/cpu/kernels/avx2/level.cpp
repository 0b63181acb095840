// The AVX2 level: packing, and the list of its kernels.
#include "cpu/kernels/level.h"

#include "cpu/kernels/avx2/lanes.h"

namespace ostinato::cpu::avx2 {

Matmul matmul_f32, matmul_f16, matmul_bf16, matmul_q8_0, matmul_q4_0, matmul_q4_k, matmul_q6_k;
Matmul *find_super(TensorType type), *find_grids(TensorType type), *find_small(TensorType type);

namespace {

int32_t largest_element(__m256i v) {
  __m128i most = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0b01'00'11'10));
  return _mm_cvtsi128_si32(_mm_max_epi32(most, _mm_shuffle_epi32(most, 0b10'11'00'01)));
}

// Quantises 32 x kCount floats with one scale and returns it; see "Activations" in sums.md.
template <int kCount>
float quantize(const float* x, int8_t* q) {
  __m256i bits = _mm256_setzero_si256();
  for (int i = 0; i < 4 * kCount; ++i)
    bits = _mm256_max_epi32(bits, _mm256_and_si256(load(x + 8 * i), _mm256_set1_epi32(0x7fffffff)));
  const int32_t most = largest_element(bits);
  const float largest = std::bit_cast<float>(most);
  if (most >= 0x7f800000 || largest < kTiny) {
    std::memset(q, 0, 32 * kCount);
    return most >= 0x7f800000 ? std::bit_cast<float>(0x7fc00000) : 0.0f;
  }
  const __m256 inverse = _mm256_set1_ps(127.0f / largest);
  const auto rounded = [&](int i) {
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), inverse));
  };
  for (int i = 0; i < kCount; ++i) {
    const __m256i low = _mm256_packs_epi32(rounded(4 * i), rounded(4 * i + 1));
    const __m256i high = _mm256_packs_epi32(rounded(4 * i + 2), rounded(4 * i + 3));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // packing works within 128-bit lanes
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(q + 32 * i),
                        _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order));
  }
  return largest / 127.0f;
}

int32_t sum16(const int8_t* q) {
  const __m128i pairs = _mm_madd_epi16(_mm_maddubs_epi16(_mm_set1_epi8(1), load128(q)), _mm_set1_epi16(1));
  const __m128i twice = _mm_hadd_epi32(pairs, pairs);
  return _mm_cvtsi128_si32(_mm_hadd_epi32(twice, twice));
}

void pack_super(const float* x, int64_t k, void* out) {
  auto* rows = static_cast<SuperRow*>(out);
  for (int64_t b = 0; b < k / kSuper; ++b) {
    SuperRow& row = rows[b] = {};
    row.d = quantize<8>(x + b * kSuper, row.q);
    for (int j = 0; j < 16; ++j) row.sums16[j] = static_cast<int16_t>(sum16(row.q + 16 * j));
    for (int j = 0; j < 8; ++j)
      row.sums32[j] = static_cast<int16_t>(row.sums16[2 * j] + row.sums16[2 * j + 1]);
    measure(row);
  }
}

void pack_blocks(const float* x, int64_t k, void* out) {
  auto* rows = static_cast<BlockRow*>(out);
  for (int64_t b = 0; b < k / 32; ++b) {
    BlockRow& row = rows[b / 8];
    const int j = static_cast<int>(b % 8);
    if (j == 0) row = {};
    row.d[j] = quantize<1>(x + 32 * b, row.q + 32 * j);
    row.minus_sums[j] = -sum16(row.q + 32 * j) - sum16(row.q + 32 * j + 16);
  }
}

Matmul* kernel(TensorType type) {
  switch (type) {
    case TensorType::kF32:
      return matmul_f32;
    case TensorType::kF16:
      return matmul_f16;
    case TensorType::kBF16:
      return matmul_bf16;
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
  if (Matmul* found = find_super(type)) return found;
  if (Matmul* found = find_grids(type)) return found;
  return find_small(type);
}

}  // namespace

const Level level = {Isa::kAvx2, "avx2", pack_super, pack_blocks, kernel};

}  // namespace ostinato::cpu::avx2
