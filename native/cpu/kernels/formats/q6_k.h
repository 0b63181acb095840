// Q6_K: 16 sub-blocks of 16 with eight-bit sub-scales.
#pragma once
#include "cpu/kernels/formats/format.h"

namespace ostinato::cpu {
namespace {

struct Q6_K {
  using Block = BlockQ6_K;
  static constexpr TensorType kType = TensorType::kQ6_K;
  static constexpr int kSub = 16, kTop = 63, kZero = 32;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int c) {
    const int half = c / 4, run = c % 4;
    const Bytes low = bits(load32(block.ql + 64 * half + 32 * (run % 2)), 4 * (run / 2), 15);
    const Bytes high = bits(load32(block.qh + 32 * half), 2 * run, 3);
    return low | reinterpret_cast<Bytes>(reinterpret_cast<Words>(high) << uint16_t{4});
  }
  BYTES_INLINE Subs subs(const Block& block) { return {read<SubScales>(block.sc)}; }
  BYTES_INLINE float d(const Block& block) { return half_at(block.d); }
};

}  // namespace
}  // namespace ostinato::cpu
