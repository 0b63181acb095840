// float16 and bfloat16 bits from float32, rounded to nearest, ties to even; and float32 from float16.
#pragma once
#include <bit>
#include <cstdint>

namespace ostinato::quantize {

constexpr uint16_t kHalfInfinity = 0x7c00;

// Beyond float16's range: infinity. NaN stays NaN.
static inline uint16_t to_half(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x47800000) return sign | (magnitude > 0x7f800000 ? 0x7e00u : kHalfInfinity);
  if (magnitude < 0x38800000) {  // subnormal: beside 0.5 a float's last bit is worth the smallest half
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return sign | (std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(0.5f));
  }
  return sign | (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13;
}

static inline float from_half(uint16_t half) {
  const uint32_t magnitude = (half & 0x7fffu) << 13, sign = (half & 0x8000u) << 16;
  const uint32_t rebias = magnitude >= 0x0f800000 ? 0x70000000 : 0x38000000;  // infinities and NaN: all ones
  const float normal = std::bit_cast<float>(magnitude + rebias);
  const float small = std::bit_cast<float>(magnitude + 0x38800000) - std::bit_cast<float>(0x38800000);
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude < 0x00800000 ? small : normal) | sign);
}

// Beyond bfloat16's range: infinity. Not for NaN.
static inline uint16_t to_bfloat(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float from_bfloat(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

}  // namespace ostinato::quantize
