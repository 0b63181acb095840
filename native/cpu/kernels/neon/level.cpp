// The ARM levels: packing, and the list of kernels. OSTINATO_LEVEL is neon or i8mm, OSTINATO_ISA its Isa.
#include "cpu/kernels/level.h"

#include <arm_neon.h>

#include "cpu/kernels/blocks.h"

#define TEXT(name) #name
#define NAME(macro) TEXT(macro)

namespace ostinato::cpu::OSTINATO_LEVEL {

Matmul matmul_f32, matmul_f16, matmul_bf16;
Matmul *find_super(TensorType type), *find_small(TensorType type);

namespace {

// Quantises 16 x kCount floats with one scale and returns it; see "Activations" in sums.md.
template <int kCount>
float quantize(const float* x, int8_t* q) {
  uint32x4_t bits = vdupq_n_u32(0);
  for (int i = 0; i < 4 * kCount; ++i)
    bits = vmaxq_u32(bits, vreinterpretq_u32_f32(vabsq_f32(vld1q_f32(x + 4 * i))));
  const uint32_t most = vmaxvq_u32(bits);
  const float largest = std::bit_cast<float>(most);
  if (most >= 0x7f800000u || largest < kTiny) {
    std::memset(q, 0, 16 * kCount);
    return most >= 0x7f800000u ? std::bit_cast<float>(0x7fc00000u) : 0.0f;
  }
  const float inverse = 127.0f / largest;
  const auto rounded = [&](int i) { return vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 4 * i), inverse)); };
  for (int i = 0; i < kCount; ++i) {
    const int16x8_t low = vcombine_s16(vmovn_s32(rounded(4 * i)), vmovn_s32(rounded(4 * i + 1)));
    const int16x8_t high = vcombine_s16(vmovn_s32(rounded(4 * i + 2)), vmovn_s32(rounded(4 * i + 3)));
    vst1q_s8(q + 16 * i, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
  }
  return largest / 127.0f;
}

// Sums of 16 consecutive quants each, for 64 of them.
int32x4_t sums16(const int8_t* q) {
  const int8x16_t ones = vdupq_n_s8(1);
  const auto four = [&](int i) { return vdotq_s32(vdupq_n_s32(0), ones, vld1q_s8(q + 16 * i)); };
  return vpaddq_s32(vpaddq_s32(four(0), four(1)), vpaddq_s32(four(2), four(3)));
}

void pack_super(const float* x, int64_t k, void* out) {
  auto* rows = static_cast<SuperRow*>(out);
  for (int64_t b = 0; b < k / kSuper; ++b) {
    SuperRow& row = rows[b] = {};
    row.d = quantize<16>(x + b * kSuper, row.q);
    for (int i = 0; i < 4; ++i) vst1_s16(row.sums16 + 4 * i, vmovn_s32(sums16(row.q + 64 * i)));
    vst1q_s16(row.sums32, vpaddq_s16(vld1q_s16(row.sums16), vld1q_s16(row.sums16 + 8)));
    measure(row);
  }
}

void pack_blocks(const float* x, int64_t k, void* out) {
  auto* rows = static_cast<BlockRow*>(out);
  for (int64_t b = 0; b < k / 32; ++b) {
    BlockRow& row = rows[b / 8];
    const int j = static_cast<int>(b % 8);
    if (j == 0) row = {};
    int8_t* q = row.q + 32 * j;
    row.d[j] = quantize<2>(x + 32 * b, q);
    const int16x8_t pairs = vpadalq_s8(vpaddlq_s8(vld1q_s8(q)), vld1q_s8(q + 16));
    row.minus_sums[j] = -vaddlvq_s16(pairs);
  }
}

Matmul* kernel(TensorType type) {
  if (type == TensorType::kF32) return matmul_f32;
  if (type == TensorType::kF16) return matmul_f16;
  if (type == TensorType::kBF16) return matmul_bf16;
  Matmul* found = find_super(type);
  return found ? found : find_small(type);
}

}  // namespace

const Level level = {Isa::OSTINATO_ISA, NAME(OSTINATO_LEVEL), pack_super, pack_blocks, kernel};

}  // namespace ostinato::cpu::OSTINATO_LEVEL
