// What the formats on grids share: sub-scales 2 s + 1, points and signs.
#pragma once
#include "cpu/kernels/formats/format.h"

namespace ostinato::cpu {
namespace {

// 2 s + 1
BYTES_INLINE Subs odd(SubScales s) { return {s + s + int8_t{1}}; }

// Of nibbles, low ones first.
BYTES_INLINE Subs odd_nibbles(uint32_t first, uint32_t second = 0) {
  return odd(sub_scales(spread_nibbles(first), spread_nibbles(second)));
}

// Of the top four bits of eight words.
BYTES_INLINE Subs odd_tops(Longs words) {
  const Longs s = words >> 28;
  const auto pairs = reinterpret_cast<Quads>(s) | reinterpret_cast<Quads>(s) >> 24;  // in the lower two bytes
  const uint64_t low = (pairs[0] & 0xffff) | (pairs[1] & 0xffff) << 16;
  const uint64_t high = (pairs[2] & 0xffff) | (pairs[3] & 0xffff) << 16;
  return odd(sub_scales(low | high << 32));
}

// 0xff for minus, from the sign indices of four points.
BYTES_INLINE Bytes even_signs(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  const auto& signs = grids::kSigns;
  return reinterpret_cast<Bytes>(Quads{signs[a], signs[b], signs[c], signs[d]});
}

// Four indices of seven bits in a word.
BYTES_INLINE Bytes even_signs(uint32_t word) {
  return even_signs(word & 127, word >> 7 & 127, word >> 14 & 127, word >> 21 & 127);
}

}  // namespace
}  // namespace ostinato::cpu
