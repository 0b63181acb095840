// Vectors of 32 bytes, whatever the machine's are: what block formats unpack their codes with.
//
// Every level compiles this with its own flags. So these helpers, as all of formats/, are local to the source
// that includes them: the linker may not take one level's code for another's.
#pragma once
#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include <cstdint>

#include "cpu/kernels/blocks.h"

namespace ostinato::cpu {

typedef uint8_t Bytes __attribute__((vector_size(32), may_alias));
typedef uint16_t Words __attribute__((vector_size(32), may_alias));
typedef uint32_t Longs __attribute__((vector_size(32), may_alias));
typedef uint64_t Quads __attribute__((vector_size(32), may_alias));
typedef uint16_t WideWords __attribute__((vector_size(64), may_alias));
typedef uint8_t SubMinima __attribute__((vector_size(16), may_alias));
typedef int8_t SubScales __attribute__((vector_size(16), may_alias));
typedef uint16_t HalfWords __attribute__((vector_size(16), may_alias));
typedef uint32_t HalfLongs __attribute__((vector_size(16), may_alias));
typedef uint64_t HalfQuads __attribute__((vector_size(16), may_alias));

#define BYTES_INLINE [[gnu::always_inline]] static inline

BYTES_INLINE Bytes splat(int byte) { return Bytes{} + static_cast<uint8_t>(byte); }

BYTES_INLINE Bytes load32(const void* p) { return read<Bytes>(p); }

BYTES_INLINE void store32(void* p, Bytes v) { std::memcpy(p, &v, sizeof v); }

// 16 bytes, twice.
BYTES_INLINE Bytes load16_twice(const void* p) {
  const auto low = read<uint64_t>(p), high = read<uint64_t>(static_cast<const uint8_t*>(p) + 8);
  return reinterpret_cast<Bytes>(Quads{low, high, low, high});
}

// Bits shift .. of every byte that `mask` keeps.
BYTES_INLINE Bytes bits(Bytes v, int shift, int mask) {
#ifdef __aarch64__  // which shifts bytes, and then needs no mask for the top ones
  return v >> static_cast<uint8_t>(shift) & splat(mask);
#else
  return reinterpret_cast<Bytes>(reinterpret_cast<Words>(v) >> static_cast<uint16_t>(shift)) & splat(mask);
#endif
}

// The low nibbles of 16 bytes, then the high ones.
BYTES_INLINE Bytes nibbles(const uint8_t* p) {
  const auto both = reinterpret_cast<Quads>(load16_twice(p));
  return reinterpret_cast<Bytes>(both >> Quads{0, 0, 4, 4}) & splat(15);
}

// The nibbles of four bytes in as many bytes, low ones first.
BYTES_INLINE uint64_t spread_nibbles(uint32_t bytes) {
  uint64_t x = bytes;
  x = (x | x << 16) & 0x0000ffff0000ffff;
  x = (x | x << 8) & 0x00ff00ff00ff00ff;
  return (x | x << 4) & 0x0f0f0f0f0f0f0f0f;
}

// Two bits for each of 32 elements, four to a byte, lowest first.
BYTES_INLINE Bytes pairs_of_bits(const uint8_t* p) {
#ifdef __aarch64__
  const uint8x16_t four = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3}, mask = vdupq_n_u8(3);
  const int8x16_t right = {0, -2, -4, -6, 0, -2, -4, -6, 0, -2, -4, -6, 0, -2, -4, -6};
  const uint8x16_t bytes = vreinterpretq_u8_u64(vdupq_n_u64(read<uint64_t>(p)));
  const auto pairs = [&](uint8x16_t at) { return vshlq_u8(vqtbl1q_u8(bytes, at), right) & mask; };
  return std::bit_cast<Bytes>(uint8x16x2_t{pairs(four), pairs(four + 4)});
#else
  const auto v = reinterpret_cast<Bytes>(Quads{} + read<uint64_t>(p));
  const Bytes spread = __builtin_shufflevector(v, v, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 20, 20,
                                               20, 20, 21, 21, 21, 21, 22, 22, 22, 22, 23, 23, 23, 23);
  const Longs x = reinterpret_cast<Longs>(spread) & 255;
  return reinterpret_cast<Bytes>(x | x << 6 | x << 12 | x << 18) & splat(3);
#endif
}

// 0xff in byte i where bit i is set, 0 elsewhere.
BYTES_INLINE Bytes spread_bits(uint32_t bits) {
#ifdef __aarch64__
  const uint8x16_t eight = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
  const uint8x16_t bytes = vreinterpretq_u8_u32(vdupq_n_u32(bits));
  const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u));
  return std::bit_cast<Bytes>(
      uint8x16x2_t{vtstq_u8(vqtbl1q_u8(bytes, eight), bit), vtstq_u8(vqtbl1q_u8(bytes, eight + 2), bit)});
#else
  const auto v = reinterpret_cast<Bytes>(Longs{} + bits);
  const Bytes source = __builtin_shufflevector(v, v, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 18, 18,
                                               18, 18, 18, 18, 18, 18, 19, 19, 19, 19, 19, 19, 19, 19);
  const auto bit = reinterpret_cast<Bytes>(Quads{} + 0x8040201008040201u);
  return reinterpret_cast<Bytes>((source & bit) == bit);
#endif
}

BYTES_INLINE Bytes spread_bits(const uint8_t* p) { return spread_bits(read<uint32_t>(p)); }

// v, negated where `minus` is 0xff.
BYTES_INLINE Bytes with_signs(Bytes v, Bytes minus) { return (v ^ minus) - minus; }

// table[i] for the 16 values of each byte.
BYTES_INLINE Bytes look_up(const int8_t table[16], Bytes indices) {
#if defined(__AVX2__)
  return reinterpret_cast<Bytes>(_mm256_shuffle_epi8(reinterpret_cast<__m256i>(load16_twice(table)),
                                                     reinterpret_cast<__m256i>(indices)));
#elif defined(__aarch64__)
  const auto at = std::bit_cast<uint8x16x2_t>(indices);
  const uint8x16_t values = vreinterpretq_u8_s8(vld1q_s8(table));
  return std::bit_cast<Bytes>(uint8x16x2_t{vqtbl1q_u8(values, at.val[0]), vqtbl1q_u8(values, at.val[1])});
#else
  Bytes found;
  for (int i = 0; i < 32; ++i) found[i] = static_cast<uint8_t>(table[indices[i]]);
  return found;
#endif
}

// float16 -> float32, exactly.
BYTES_INLINE float half_at(const uint8_t* p) {
#if defined(__F16C__)
  return _cvtsh_ss(read<uint16_t>(p));
#elif defined(__aarch64__)
  return static_cast<float>(read<__fp16>(p));
#else
  return from_half(p);
#endif
}

}  // namespace ostinato::cpu
