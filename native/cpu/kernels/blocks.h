// Blocks of packed weights as they lie in a GGUF file, and the activations they are multiplied with.
//
// Weight layouts are facts of the format (ggml-common.h); every member is bytes, so no alignment is assumed.
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "cpu/kernels.h"

namespace ostinato::cpu {

// x = d q
struct BlockQ8_0 {
  uint8_t d[2];  // float16
  int8_t q[32];
};

// x = d (q - 8); byte i holds element i (low nibble) and element i + 16.
struct BlockQ4_0 {
  uint8_t d[2];
  uint8_t q[16];
};

// x = d sc[j] q - dmin m[j], j = k / 32. Bytes 32 c .. 32 c + 31 of q hold sub-block 2 c (low nibbles) and 2
// c + 1.
struct BlockQ4_K {
  uint8_t d[2], dmin[2];
  uint8_t scales[12];  // 8 six-bit sc and 8 six-bit m: see `decode_scales`
  uint8_t q[128];
};

// x = d sc[j] (q - 32), j = k / 16. In half h, element l + 32 i (l < 32, i < 4) has its low four bits in
// ql[64 h + 32 (i % 2) + l] (the high nibble for i >= 2) and its high two in bits 2 i of qh[32 h + l].
struct BlockQ6_K {
  uint8_t ql[128], qh[64];
  int8_t sc[16];
  uint8_t d[2];
};

static_assert(sizeof(BlockQ8_0) == 34 && sizeof(BlockQ4_0) == 18);
static_assert(sizeof(BlockQ4_K) == 144 && sizeof(BlockQ6_K) == 210);

// 256 activations for super-block weights: x = d q, |q| <= 127. A d of NaN stands for any value that is not
// finite.
struct alignas(64) SuperRow {
  int8_t q[256];
  int16_t sums16[16];  // of q over each 16
  int16_t sums32[8];   // of q over each 32
  int16_t most16;      // the largest sum of |q| over 16
  int16_t part32;      // the largest magnitude that some of any 32 q have in sum
  float d;
};

// most16 and part32, from q and sums32.
static inline void measure(SuperRow& row) {
  for (int j = 0; j < 8; ++j) {
    int half[2] = {};
    for (int i = 0; i < 32; ++i)
      half[i / 16] += row.q[32 * j + i] < 0 ? -row.q[32 * j + i] : row.q[32 * j + i];
    const int signed_sum = row.sums32[j] < 0 ? -row.sums32[j] : row.sums32[j];
    row.most16 = static_cast<int16_t>(std::max<int>(row.most16, std::max(half[0], half[1])));
    row.part32 = static_cast<int16_t>(std::max<int>(row.part32, (half[0] + half[1] + signed_sum) / 2));
  }
}

// 256 activations for weights in blocks of 32: x = d[j] q, j = k / 32.
struct alignas(64) BlockRow {
  int8_t q[256];
  float d[8];
  int32_t minus_sums[8];  // minus the sum of q over each 32
};

static_assert(sizeof(SuperRow) == 320 && sizeof(BlockRow) == 320);

constexpr int kSuper = 256;         // values of a super-block, and of one packed record
constexpr int kLanes = 64;          // partial sums of a float dot product
constexpr float kTiny = 0x1p-120f;  // blocks whose largest magnitude is below this are packed as zeros

// Floats from one packed row of k floats to the next: whole lanes, and never a multiple of a page, or all
// rows would fall on the same few cache sets.
static inline int64_t packed_floats(int64_t k) {
  const int64_t padded = (k + kLanes - 1) / kLanes * kLanes;
  return padded % 1024 ? padded : padded + 16;
}

// Reads a trivially copyable value from any address.
template <class T>
static inline T read(const void* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

// float16 bits -> float32, exactly.
static inline float from_half(uint16_t half) {
  const uint32_t magnitude = (half & 0x7fffu) << 13, sign = (half & 0x8000u) << 16;
  const uint32_t exponent = magnitude & 0x0f800000u;
  if (exponent == 0) {  // zero or subnormal: let the subtraction normalise it
    const float value = std::bit_cast<float>(magnitude + 0x38800000u) - std::bit_cast<float>(0x38800000u);
    return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
  }
  const uint32_t rebias = exponent == 0x0f800000u ? 0x70000000u : 0x38000000u;
  return std::bit_cast<float>((magnitude + rebias) | sign);
}

// The bfloat16 at `bytes` -> float32, exactly.
static inline float from_bfloat(const uint8_t* bytes) {
  return std::bit_cast<float>(uint32_t{read<uint16_t>(bytes)} << 16);
}

static inline float from_half(const uint8_t* bytes) { return from_half(read<uint16_t>(bytes)); }

// The sub-scales and minima of a Q4_K block, four bytes to a word: sc 0-3, sc 4-7, m 0-3, m 4-7.
struct ScalesQ4_K {
  uint8_t sc[8], m[8];
};

static inline ScalesQ4_K decode_scales(const uint8_t* bytes) {
  const auto a = read<uint32_t>(bytes), b = read<uint32_t>(bytes + 4), c = read<uint32_t>(bytes + 8);
  const uint32_t words[4] = {
      a & 0x3f3f3f3f,
      (c & 0x0f0f0f0f) | ((a >> 2) & 0x30303030),
      b & 0x3f3f3f3f,
      ((c >> 4) & 0x0f0f0f0f) | ((b >> 2) & 0x30303030),
  };
  return std::bit_cast<ScalesQ4_K>(words);
}

}  // namespace ostinato::cpu
