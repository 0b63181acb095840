// MXFP4 and NVFP4: four-bit floats, doubled to integers, with small float scales.
#pragma once
#include "cpu/kernels/formats/format.h"

namespace ostinato::cpu {
namespace {

struct MXFP4 {
  struct Block {
    uint8_t e, q[16];
  };
  static constexpr TensorType kType = TensorType::kMXFP4;
  static constexpr int kElements = 32, kWidth = 32, kTop = 24, kZero = 12;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int) {
    return look_up(grids::kFP4Values, nibbles(block.q)) + splat(kZero);
  }
  // 2^(e - 128): the two smallest are subnormal.
  BYTES_INLINE float d(const Block& block, int) {
    const uint32_t e = block.e;
    return std::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1) << 23);
  }
};

// Four sub-blocks of 16, each with a scale, unsigned e4m3.
struct NVFP4 {
  struct Block {
    uint8_t d[4], q[32];
  };
  static constexpr TensorType kType = TensorType::kNVFP4;
  static constexpr int kElements = 64, kWidth = 16, kTop = 24, kZero = 12;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int c) {
    const auto a = read<uint64_t>(block.q + 16 * c), b = read<uint64_t>(block.q + 16 * c + 8);
    const auto q = reinterpret_cast<Bytes>(Quads{a, a, b, b} >> Quads{0, 4, 0, 4}) & splat(15);
    return look_up(grids::kFP4Values, q) + splat(kZero);
  }
  // Halved; 0x7f means 0, and the top bit nothing.
  BYTES_INLINE float d(const Block& block, int j) {
    const int byte = block.d[j], exponent = byte >> 3 & 15, fraction = byte & 7;
    if (byte == 0x7f) return 0;
    const int whole = exponent == 0 ? fraction : fraction + 8, power = (exponent == 0 ? 1 : exponent) - 11;
    return static_cast<float>(whole) * std::bit_cast<float>((127 + power) << 23);
  }
};

}  // namespace
}  // namespace ostinato::cpu
