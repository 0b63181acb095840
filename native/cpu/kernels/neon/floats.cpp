// F32, F16 and BF16 weights on ARM.
#include "cpu/kernels/floats.h"

#include <arm_neon.h>

namespace ostinato::cpu::OSTINATO_LEVEL {
namespace {

struct Vector {
  using Reg = float32x4_t;
  static constexpr int kWidth = 4, kFewRows = 1, kTileRows = 4;
  static Reg zero() { return vdupq_n_f32(0); }
  static Reg load(const float* p) { return vld1q_f32(p); }
  static Reg fma(Reg a, Reg b, Reg c) { return vfmaq_f32(c, a, b); }

  // The halving tree: lanes i and i + 32, then i and i + 16, and so on.
  static float sum_tree(const Reg part[16]) {
    Reg sums[8];
    for (int i = 0; i < 8; ++i) sums[i] = vaddq_f32(part[i], part[i + 8]);
    for (int i = 0; i < 4; ++i) sums[i] = vaddq_f32(sums[i], sums[i + 4]);
    const Reg four = vaddq_f32(vaddq_f32(sums[0], sums[2]), vaddq_f32(sums[1], sums[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
  }
};

struct F32 {
  static constexpr int kBytes = 4;
  static float32x4_t load(const uint8_t* p) { return vreinterpretq_f32_u8(vld1q_u8(p)); }
};

struct F16 {
  static constexpr int kBytes = 2;
  static float32x4_t load(const uint8_t* p) { return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p))); }
};

struct BF16 {
  static constexpr int kBytes = 2;
  static float32x4_t load(const uint8_t* p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
  }
};

}  // namespace

Matmul* find_floats(TensorType type) { return find_element<Vector, F32, F16, BF16>(type); }

}  // namespace ostinato::cpu::OSTINATO_LEVEL
