// warp.h on a device: a lane is a thread.
#pragma once
#include <cstdint>

#define OSTINATO_DEVICE __device__
#define OSTINATO_NOINLINE __noinline__
#define OSTINATO_UNROLL _Pragma("unroll")      // before a loop whose index picks registers
#define OSTINATO_UNROLL_4 _Pragma("unroll 4")  // before one whose loads should overlap

namespace ostinato::cuda {

constexpr int32_t kLanes = 32;
constexpr uint32_t kEveryLane = 0xffffffffu;

template <class T>
using Lane = T;
using Mask = bool;

// Keeps an argument out of deduction, so that a literal takes the other arguments' type.
template <class T>
struct Same {
  using Type = T;
};
template <class T>
using As = typename Same<T>::Type;

struct Words4 {
  uint32_t x, y, z, w;
};

OSTINATO_DEVICE inline int32_t lane_index() { return static_cast<int32_t>(threadIdx.x) % kLanes; }
OSTINATO_DEVICE inline void sync_warp() { __syncwarp(); }

template <class T>
OSTINATO_DEVICE inline T load(const T* base, int32_t index) {
  return base[index];
}

template <class T>
OSTINATO_DEVICE inline T load_where(bool mask, const T* base, int32_t index, As<T> otherwise) {
  return mask ? base[index] : otherwise;
}

OSTINATO_DEVICE inline Words4 load_words4(const void* base16, int32_t index) {
  __builtin_assume(__isGlobal(base16));  // else it is a generic load, which looks at the address first
  const uint4 words = static_cast<const uint4*>(base16)[index];
  return {words.x, words.y, words.z, words.w};
}

template <class T>
OSTINATO_DEVICE inline void store(T* base, int32_t index, As<T> value) {
  base[index] = value;
}

template <class T>
OSTINATO_DEVICE inline void store_where(bool mask, T* base, int32_t index, As<T> value) {
  if (mask) base[index] = value;
}

template <class A, class B>
OSTINATO_DEVICE inline auto select(bool mask, A yes, B no) {
  return mask ? yes : no;
}

OSTINATO_DEVICE inline bool any(bool mask) { return __any_sync(kEveryLane, mask); }
OSTINATO_DEVICE inline bool all(bool mask) { return __all_sync(kEveryLane, mask); }

template <class T>
OSTINATO_DEVICE inline T shuffle_xor(T value, int32_t distance) {
  return static_cast<T>(__shfl_xor_sync(kEveryLane, value, distance));
}

template <class T>
OSTINATO_DEVICE inline T value_at(T value, int32_t lane) {
  return static_cast<T>(__shfl_sync(kEveryLane, value, lane));
}

template <class T>
OSTINATO_DEVICE inline T maximum(T a, T b) {
  return a > b ? a : b;
}
template <class T>
OSTINATO_DEVICE inline T minimum(T a, T b) {
  return a < b ? a : b;
}
OSTINATO_DEVICE inline float maximum(float a, float b) { return fmaxf(a, b); }
OSTINATO_DEVICE inline float minimum(float a, float b) { return fminf(a, b); }

template <class T>
OSTINATO_DEVICE inline T sum(T value) {
#pragma unroll
  for (int32_t distance = kLanes / 2; distance > 0; distance /= 2) value += shuffle_xor(value, distance);
  return value;
}

template <class T>
OSTINATO_DEVICE inline T largest(T value) {
#pragma unroll
  for (int32_t distance = kLanes / 2; distance > 0; distance /= 2)
    value = maximum(value, shuffle_xor(value, distance));
  return value;
}

template <class T>
OSTINATO_DEVICE inline T smallest(T value) {
#pragma unroll
  for (int32_t distance = kLanes / 2; distance > 0; distance /= 2)
    value = minimum(value, shuffle_xor(value, distance));
  return value;
}

OSTINATO_DEVICE inline int32_t dot4(uint32_t a, uint32_t b, int32_t c) {
#if __CUDA_ARCH__ >= 610
  return __dp4a(static_cast<int32_t>(a), static_cast<int32_t>(b), c);
#else
#pragma unroll
  for (int32_t shift = 0; shift < 32; shift += 8)
    c += static_cast<int8_t>(a >> shift) * static_cast<int8_t>(b >> shift);
  return c;
#endif
}

OSTINATO_DEVICE inline uint32_t pick_bytes(uint32_t a, uint32_t b, uint32_t which) {
  return __byte_perm(a, b, which);
}

OSTINATO_DEVICE inline float fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
OSTINATO_DEVICE inline float exp(float x) { return expf(x); }
OSTINATO_DEVICE inline float log(float x) { return logf(x); }
OSTINATO_DEVICE inline float sqrt(float x) { return __fsqrt_rn(x); }
OSTINATO_DEVICE inline float abs(float x) { return fabsf(x); }
OSTINATO_DEVICE inline int32_t abs(int32_t x) { return x < 0 ? -x : x; }
OSTINATO_DEVICE inline float rint(float x) { return rintf(x); }
OSTINATO_DEVICE inline float sin(float x) { return sinf(x); }
OSTINATO_DEVICE inline float cos(float x) { return cosf(x); }
OSTINATO_DEVICE inline float tanh(float x) { return tanhf(x); }
OSTINATO_DEVICE inline float power(float base, float exponent) {
  return static_cast<float>(::pow(static_cast<double>(base), static_cast<double>(exponent)));
}

OSTINATO_DEVICE inline float half_to_float(uint16_t half) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
  return value;
}

OSTINATO_DEVICE inline uint16_t float_to_half(float value) {
  uint16_t half;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
  return half;
}

template <class T, class U>
OSTINATO_DEVICE inline T convert(U value) {
  return static_cast<T>(value);
}

template <class T, class U>
OSTINATO_DEVICE inline T bits(U value) {
  static_assert(sizeof(T) == sizeof(U));
  T out;
  memcpy(&out, &value, sizeof(T));
  return out;
}

OSTINATO_DEVICE inline uint32_t multiply_high(uint32_t a, uint32_t b) { return __umulhi(a, b); }

OSTINATO_DEVICE inline int32_t atomic_add(int32_t* base, int32_t index, int32_t value) {
  return atomicAdd(base + index, value);
}
OSTINATO_DEVICE inline int32_t atomic_or(int32_t* base, int32_t index, int32_t value) {
  return atomicOr(base + index, value);
}
OSTINATO_DEVICE inline int32_t atomic_add_where(bool mask, int32_t* base, int32_t index, int32_t value) {
  return mask ? atomicAdd(base + index, value) : 0;
}
OSTINATO_DEVICE inline int32_t atomic_or_where(bool mask, int32_t* base, int32_t index, int32_t value) {
  return mask ? atomicOr(base + index, value) : 0;
}

}  // namespace ostinato::cuda
