// float16 as bits, for compilers that know no such type.
#pragma once
#include <bit>
#include <cstdint>

namespace ostinato::cuda {

inline float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16, magnitude = half & 0x7fff;
  if (magnitude >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
  // Scaling by 2^112 makes subnormals normal.
  const float value = std::bit_cast<float>(magnitude << 13) * std::bit_cast<float>(0x77800000);
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(value));
}

// To nearest, ties to even; too large becomes infinity.
inline uint16_t float_to_half(float value) {
  const uint32_t word = std::bit_cast<uint32_t>(value), sign = word >> 16 & 0x8000,
                 magnitude = word & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00);
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);
  if (magnitude < 0x38800000) {  // subnormal: adding 1/2 leaves the rounded bits at the end of the word
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(0.5f)));
  }
  const uint32_t odd = magnitude >> 13 & 1;
  return static_cast<uint16_t>(sign | (magnitude - 0x38000000 + 0xfff + odd) >> 13);
}

}  // namespace ostinato::cuda
