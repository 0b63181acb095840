// The ARM levels: packing, and the list of kernels. OSTINATO_LEVEL is neon or i8mm, OSTINATO_ISA its Isa.
#include "cpu/kernels/level.h"

#include <arm_neon.h>

#include "cpu/kernels/pack.h"

#define TEXT(name) #name
#define NAME(macro) TEXT(macro)

namespace ostinato::cpu::OSTINATO_LEVEL {

Matmul *find_floats(TensorType type), *find_super(TensorType type), *find_small(TensorType type);

namespace {

// Sums of 16 consecutive quants each, for 64 of them.
int32x4_t sums16(const int8_t* q) {
  const int8x16_t ones = vdupq_n_s8(1);
  const auto four = [&](int i) { return vdotq_s32(vdupq_n_s32(0), ones, vld1q_s8(q + 16 * i)); };
  return vpaddq_s32(vpaddq_s32(four(0), four(1)), vpaddq_s32(four(2), four(3)));
}

struct Packer {
  template <int kCount>
  static uint32_t largest(const float* x) {
    uint32x4_t bits = vdupq_n_u32(0);
    for (int i = 0; i < kCount; i += 4)
      bits = vmaxq_u32(bits, vreinterpretq_u32_f32(vabsq_f32(vld1q_f32(x + i))));
    return vmaxvq_u32(bits);
  }

  template <int kCount>
  static void round(const float* x, float inverse, int8_t* q) {
    const auto rounded = [&](int i) { return vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + i), inverse)); };
    for (int i = 0; i < kCount; i += 16) {
      const int16x8_t low = vcombine_s16(vmovn_s32(rounded(i)), vmovn_s32(rounded(i + 4)));
      const int16x8_t high = vcombine_s16(vmovn_s32(rounded(i + 8)), vmovn_s32(rounded(i + 12)));
      vst1q_s8(q + i, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
    }
  }

  static void set_sums(SuperRow& row) {
    for (int i = 0; i < 4; ++i) vst1_s16(row.sums16 + 4 * i, vmovn_s32(sums16(row.q + 64 * i)));
    vst1q_s16(row.sums32, vpaddq_s16(vld1q_s16(row.sums16), vld1q_s16(row.sums16 + 8)));
    measure(row);
  }

  static int32_t sum32(const int8_t* q) {
    return vaddlvq_s16(vpadalq_s8(vpaddlq_s8(vld1q_s8(q)), vld1q_s8(q + 16)));
  }
};

Matmul* kernel(TensorType type) {
  if (Matmul* found = find_floats(type)) return found;
  if (Matmul* found = find_super(type)) return found;
  return find_small(type);
}

}  // namespace

const Level level = {Isa::OSTINATO_ISA, NAME(OSTINATO_LEVEL), pack_super<Packer>, pack_blocks<Packer>,
                     kernel};

}  // namespace ostinato::cpu::OSTINATO_LEVEL
