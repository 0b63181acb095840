// F32, F16 and BF16 weights on AVX-512.
#include "cpu/kernels/floats.h"

#include "cpu/kernels/avx512/lanes.h"

namespace ostinato::cpu::avx512 {
namespace {

struct Vector {
  using Reg = __m512;
  static constexpr int kWidth = 16, kFewRows = 4, kTileRows = 4;
  static Reg zero() { return _mm512_setzero_ps(); }
  static Reg load(const float* p) { return _mm512_loadu_ps(p); }
  static Reg fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }

  // The halving tree: lanes i and i + 32, then i and i + 16, and so on.
  static float sum_tree(const Reg part[4]) {
    const Reg sixteen = _mm512_add_ps(_mm512_add_ps(part[0], part[2]), _mm512_add_ps(part[1], part[3]));
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(sixteen), _mm512_extractf32x8_ps(sixteen, 1));
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
  }
};

__mmask16 first_lanes(int count) { return static_cast<__mmask16>((1u << count) - 1); }

struct F32 {
  static constexpr int kBytes = 4;
  static __m512 load(const uint8_t* p) { return _mm512_loadu_ps(p); }
  static __m512 load(const uint8_t* p, int count) { return _mm512_maskz_loadu_ps(first_lanes(count), p); }
};

struct F16 {
  static constexpr int kBytes = 2;
  static __m512 load(const uint8_t* p) { return _mm512_cvtph_ps(load256(p)); }
  static __m512 load(const uint8_t* p, int count) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(count), p));
  }
};

struct BF16 {
  static constexpr int kBytes = 2;
  static __m512 load(const uint8_t* p) { return widen(load256(p)); }
  static __m512 load(const uint8_t* p, int count) {
    return widen(_mm256_maskz_loadu_epi16(first_lanes(count), p));
  }

 private:
  static __m512 widen(__m256i upper) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(upper), 16));
  }
};

}  // namespace

Matmul* find_floats(TensorType type) { return find_element<Vector, F32, F16, BF16>(type); }

}  // namespace ostinato::cpu::avx512
