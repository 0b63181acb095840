// F32, F16 and BF16 weights on AVX2.
#include "cpu/kernels/floats.h"

#include "cpu/kernels/avx2/lanes.h"

namespace ostinato::cpu::avx2 {
namespace {

struct Vector {
  using Reg = __m256;
  static constexpr int kWidth = 8, kFewRows = 1, kTileRows = 2;
  static Reg zero() { return _mm256_setzero_ps(); }
  static Reg load(const float* p) { return _mm256_loadu_ps(p); }
  static Reg fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_ps(a, b, c); }

  // The halving tree: lanes i and i + 32, then i and i + 16, and so on.
  static float sum_tree(const Reg part[8]) {
    const Reg p0 = _mm256_add_ps(part[0], part[4]), p1 = _mm256_add_ps(part[1], part[5]);
    const Reg p2 = _mm256_add_ps(part[2], part[6]), p3 = _mm256_add_ps(part[3], part[7]);
    const Reg eight = _mm256_add_ps(_mm256_add_ps(p0, p2), _mm256_add_ps(p1, p3));
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
  }
};

struct F32 {
  static constexpr int kBytes = 4;
  static __m256 load(const uint8_t* p) { return _mm256_loadu_ps(reinterpret_cast<const float*>(p)); }
};

struct F16 {
  static constexpr int kBytes = 2;
  static __m256 load(const uint8_t* p) { return _mm256_cvtph_ps(load128(p)); }
};

struct BF16 {
  static constexpr int kBytes = 2;
  static __m256 load(const uint8_t* p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load128(p)), 16));
  }
};

}  // namespace

Matmul* find_floats(TensorType type) { return find_element<Vector, F32, F16, BF16>(type); }

}  // namespace ostinato::cpu::avx2
