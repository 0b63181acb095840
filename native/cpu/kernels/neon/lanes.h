// What the ARM kernels do to registers: codes of blocks as signed bytes, sub-scales, sums across lanes.
//
// Compiled once for each level that includes it (neon, i8mm), and local to it, as formats/ is.
#pragma once
#include <arm_neon.h>

#include "cpu/kernels/formats/format.h"

namespace ostinato::cpu {
namespace {

BYTES_INLINE int8x16_t load16(const int8_t* p) { return vld1q_s8(p); }

// [sum a, sum b, sum c, sum d]
BYTES_INLINE int32x4_t sum4(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d) {
  return vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
}

// fma(a, b, -c)
BYTES_INLINE float32x4_t fmsub(float32x4_t a, float32x4_t b, float32x4_t c) {
  return vfmaq_f32(vnegq_f32(c), a, b);
}

// 16 codes of Q6_K, of run `run` (format Q6_K): two instructions where the format's own words take four.
BYTES_INLINE int8x16_t six_bits(const uint8_t* ql, const uint8_t* qh, int run) {
  const uint8x16_t low = vld1q_u8(ql), high = vld1q_u8(qh), nibble = vdupq_n_u8(15);
  const uint8x16_t moved = run == 0 ? high << 4 : run == 1 ? high << 2 : run == 2 ? high : high >> 2;
  const uint8x16_t upper = moved & vdupq_n_u8(0x30);
  return vreinterpretq_s8_u8(run < 2 ? vbslq_u8(nibble, low, upper) : vsriq_n_u8(upper, low, 4));
}

// Codes of elements 32 c .. 32 c + 31.
template <class F>
BYTES_INLINE int8x16x2_t codes(const typename F::Block& block, int c) {
  if constexpr (F::kType == TensorType::kQ6_K) {
    const uint8_t *ql = block.ql + 64 * (c / 4) + 32 * (c % 2), *qh = block.qh + 32 * (c / 4);
    return {six_bits(ql, qh, c % 4), six_bits(ql + 16, qh + 16, c % 4)};
  } else {
    return std::bit_cast<int8x16x2_t>(F::codes(block, c));
  }
}

// The same less kZero: within [-128, 127] for every format.
template <class F>
BYTES_INLINE int8x16x2_t values(const typename F::Block& block, int c) {
  static_assert(F::kZero <= 128 && F::kTop - F::kZero <= 127);
  if constexpr (F::kZero == 128) {
    return std::bit_cast<int8x16x2_t>(F::codes(block, c) ^ splat(128));
  } else {
    const int8x16x2_t v = codes<F>(block, c);
    return {vsubq_s8(v.val[0], vdupq_n_s8(F::kZero)), vsubq_s8(v.val[1], vdupq_n_s8(F::kZero))};
  }
}

// Sixteen bytes as 32-bit words, four to a register.
struct Words16 {
  int32x4_t four[4];

  explicit Words16(int8x16_t bytes) {
    const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);
    four[0] = vmovl_s16(vget_low_s16(low)), four[1] = vmovl_high_s16(low);
    four[2] = vmovl_s16(vget_low_s16(high)), four[3] = vmovl_high_s16(high);
  }
};

// Lanes become registers.
BYTES_INLINE void transpose4(int32x4_t v[4]) {
  const int32x4_t a = vtrn1q_s32(v[0], v[1]), b = vtrn2q_s32(v[0], v[1]);
  const int32x4_t c = vtrn1q_s32(v[2], v[3]), d = vtrn2q_s32(v[2], v[3]);
  const auto wide = [](int32x4_t x) { return vreinterpretq_s64_s32(x); };
  v[0] = vreinterpretq_s32_s64(vtrn1q_s64(wide(a), wide(c)));
  v[1] = vreinterpretq_s32_s64(vtrn1q_s64(wide(b), wide(d)));
  v[2] = vreinterpretq_s32_s64(vtrn2q_s64(wide(a), wide(c)));
  v[3] = vreinterpretq_s32_s64(vtrn2q_s64(wide(b), wide(d)));
}

// One number of each of four blocks.
template <class Number>
BYTES_INLINE float32x4_t four(Number number) {
  const float numbers[4] = {number(0), number(1), number(2), number(3)};
  return vld1q_f32(numbers);
}

// The float16 at p(0) .. p(3).
template <class Address>
BYTES_INLINE float32x4_t four_halves(Address p) {
  const uint16_t bits[4] = {read<uint16_t>(p(0)), read<uint16_t>(p(1)), read<uint16_t>(p(2)),
                            read<uint16_t>(p(3))};
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(bits)));
}

}  // namespace
}  // namespace ostinato::cpu
