// IQ1_S and IQ1_M: every eight elements a point v of a grid of -1, 0, 1, moved by 1/8 or -1/8: in eighths,
// 8 v + 1 or 8 v - 1.
#pragma once
#include "cpu/kernels/formats/grid.h"

namespace ostinato::cpu {
namespace {

constexpr int kEighthsZero = 9;  // -9 is the least

// Codes of four points, from bytes that hold the zero plus or minus one.
BYTES_INLINE Bytes eighths(uint64_t a, uint64_t b, uint64_t c, uint64_t d, Bytes moved) {
  const auto eightfold = reinterpret_cast<Bytes>(reinterpret_cast<Words>(Quads{a, b, c, d}) << uint16_t{3});
  return (eightfold & splat(0xf8)) + moved;
}

struct IQ1_S {
  struct Block {
    uint8_t d[2], q[32], high[16];
  };
  static constexpr TensorType kType = TensorType::kIQ1_S;
  static constexpr int kSub = 32, kTop = 18, kZero = kEighthsZero;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int c) {
    const uint8_t* q = block.q + 4 * c;
    const uint32_t high = read<uint16_t>(block.high + 2 * c);
    const auto at = [&](int i) { return grids::kIQ1[q[i] | (high >> (3 * i) & 7) << 8]; };
    return eighths(at(0), at(1), at(2), at(3), splat(high >> 15 ? kZero - 1 : kZero + 1));
  }
  BYTES_INLINE Subs subs(const Block& block) {
    const auto s = reinterpret_cast<HalfQuads>(read<HalfWords>(block.high) >> uint16_t{12} & uint16_t{7});
    const HalfQuads pairs = (s | s >> 8) & 0x0000ffff0000ffff;
    const HalfQuads fours = (pairs | pairs >> 16) & 0xffffffff;
    return odd(sub_scales(fours[0] | fours[1] << 32));
  }
  BYTES_INLINE float d(const Block& block) { return 0.125f * half_at(block.d); }
};

// A nibble of `high` for each eight: three bits of index, one of direction. Words of `scales`: four three-bit
// sub-scales of 16 elements, and on top a nibble of d.
struct IQ1_M {
  struct Block {
    uint8_t q[32], high[16], scales[8];
  };
  static constexpr TensorType kType = TensorType::kIQ1_M;
  static constexpr int kSub = 16, kTop = 18, kZero = kEighthsZero;
  static constexpr bool kMins = false;

  BYTES_INLINE Bytes codes(const Block& block, int c) {
    const uint8_t* q = block.q + 4 * c;
    const uint32_t high = read<uint16_t>(block.high + 2 * c);
    const auto at = [&](int i) { return grids::kIQ1[q[i] | (high >> (4 * i) & 7) << 8]; };
    const auto moved = [&](int i) {
      return 0x0101010101010101u * (high >> (4 * i + 3) & 1 ? kZero - 1 : kZero + 1);
    };
    return eighths(at(0), at(1), at(2), at(3),
                   reinterpret_cast<Bytes>(Quads{moved(0), moved(1), moved(2), moved(3)}));
  }
  BYTES_INLINE Subs subs(const Block& block) {
    const auto word = [&](int i) { return uint32_t{read<uint16_t>(block.scales + 2 * i)}; };
    const HalfLongs w = {word(0), word(1), word(2), word(3)};
    return odd(
        reinterpret_cast<SubScales>((w & 7) | (w & 0x38) << 5 | (w & 0x1c0) << 10 | (w & 0xe00) << 15));
  }
  BYTES_INLINE float d(const Block& block) {
    const uint8_t* s = block.scales;
    const uint8_t bytes[2] = {static_cast<uint8_t>(s[1] >> 4 | (s[3] & 0xf0)),
                              static_cast<uint8_t>(s[5] >> 4 | (s[7] & 0xf0))};
    return 0.125f * half_at(bytes);
  }
};

}  // namespace
}  // namespace ostinato::cpu
