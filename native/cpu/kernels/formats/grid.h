// What the formats on grids share: sub-scales 2 s + 1, points and signs.
#pragma once
#include "cpu/kernels/formats/format.h"

namespace ostinato::cpu {
namespace {

// 2 s + 1 of the nibbles of kBytes bytes, low nibble first.
template <int kBytes>
BYTES_INLINE Subs odd_nibbles(const uint8_t* p) {
  Subs subs{};
  for (int i = 0; i < kBytes; ++i) {
    subs.sc[2 * i] = static_cast<int8_t>(2 * (p[i] & 15) + 1);
    subs.sc[2 * i + 1] = static_cast<int8_t>(2 * (p[i] >> 4) + 1);
  }
  return subs;
}

// 2 s + 1, s being the top four bits of eight words, `stride` bytes apart.
BYTES_INLINE Subs odd_tops(const uint8_t* words, int stride) {
  Subs subs{};
  for (int j = 0; j < 8; ++j) subs.sc[j] = static_cast<int8_t>(2 * (words[stride * j + 3] >> 4) + 1);
  return subs;
}

// Four sign indices of seven bits in a word -> 32 bytes, 0xff for minus.
BYTES_INLINE Bytes even_signs(uint32_t word) {
  uint32_t signs = 0;
  for (int i = 0; i < 4; ++i) signs |= uint32_t{grids::kSigns[word >> (7 * i) & 127]} << (8 * i);
  return spread_bits(signs);
}

}  // namespace
}  // namespace ostinato::cpu
