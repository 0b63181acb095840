// warp.h on the host: a value is an array of 32, every operation a loop over it.
#pragma once
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "host/half.h"

#define OSTINATO_DEVICE
#define OSTINATO_NOINLINE __attribute__((noinline))
#define OSTINATO_UNROLL
#define OSTINATO_UNROLL_4

namespace ostinato::cuda {

constexpr int32_t kLanes = 32;

template <class T>
struct Lane;

template <class T>
struct Scalar {
  using Type = T;
};
template <class T>
struct Scalar<Lane<T>> {
  using Type = T;
};
template <class T>
using ScalarOf = typename Scalar<std::remove_cvref_t<T>>::Type;

template <class T>
constexpr bool is_lane = !std::is_same_v<ScalarOf<T>, std::remove_cvref_t<T>>;

// At least one operand is a Lane; the other may be a scalar.
template <class A, class B>
concept Lanes =
    (is_lane<A> || is_lane<B>) && std::is_arithmetic_v<ScalarOf<A>> && std::is_arithmetic_v<ScalarOf<B>>;

// Element `i` of a Lane, or a scalar as it is.
template <class T>
inline auto element(const T& value, int32_t i) {
  if constexpr (is_lane<T>) {
    return value.at[i];
  } else {
    return value;
  }
}

// A Lane made from a function of the lane's number.
template <class F>
inline auto each(F f) {
  Lane<decltype(f(0))> out;
  for (int32_t i = 0; i < kLanes; ++i) out.at[i] = f(i);
  return out;
}

template <class T>
struct Lane {
  T at[kLanes];

  Lane() = default;
  template <class U>
    requires std::is_arithmetic_v<U>
  Lane(U uniform) {
    for (T& value : at) value = static_cast<T>(uniform);
  }

#define OSTINATO_ASSIGN(OP)                                                              \
  template <class B>                                                                     \
  Lane& operator OP## = (const B& b) {                                                   \
    for (int32_t i = 0; i < kLanes; ++i) at[i] = static_cast<T>(at[i] OP element(b, i)); \
    return *this;                                                                        \
  }
  OSTINATO_ASSIGN(+)
  OSTINATO_ASSIGN(-)
  OSTINATO_ASSIGN(*)
  OSTINATO_ASSIGN(/)
  OSTINATO_ASSIGN(%)
  OSTINATO_ASSIGN(<<)
  OSTINATO_ASSIGN(>>)
  OSTINATO_ASSIGN(&)
  OSTINATO_ASSIGN(|)
  OSTINATO_ASSIGN(^)
#undef OSTINATO_ASSIGN
};

using Mask = Lane<bool>;

#define OSTINATO_BINARY(OP)                                                 \
  template <class A, class B>                                               \
    requires Lanes<A, B>                                                    \
  inline auto operator OP(const A& a, const B& b) {                         \
    return each([&](int32_t i) { return element(a, i) OP element(b, i); }); \
  }
OSTINATO_BINARY(+)
OSTINATO_BINARY(-)
OSTINATO_BINARY(*)
OSTINATO_BINARY(/)
OSTINATO_BINARY(%)
OSTINATO_BINARY(<<)
OSTINATO_BINARY(>>)
OSTINATO_BINARY(<)
OSTINATO_BINARY(<=)
OSTINATO_BINARY(>)
OSTINATO_BINARY(>=)
OSTINATO_BINARY(==)
OSTINATO_BINARY(!=)
OSTINATO_BINARY(&&)
OSTINATO_BINARY(||)
#undef OSTINATO_BINARY

// Bits of integers; of two masks, again a mask.
#define OSTINATO_BITWISE(OP)                                                                       \
  template <class A, class B>                                                                      \
    requires Lanes<A, B>                                                                           \
  inline auto operator OP(const A& a, const B& b) {                                                \
    constexpr bool masks = std::is_same_v<ScalarOf<A>, bool> && std::is_same_v<ScalarOf<B>, bool>; \
    using T = std::conditional_t<masks, bool, decltype(ScalarOf<A> {} OP ScalarOf<B>{})>;          \
    return each([&](int32_t i) { return static_cast<T>(element(a, i) OP element(b, i)); });        \
  }
OSTINATO_BITWISE(&)
OSTINATO_BITWISE(|)
OSTINATO_BITWISE(^)
#undef OSTINATO_BITWISE

template <class T>
inline auto operator-(const Lane<T>& a) {
  return each([&](int32_t i) { return -a.at[i]; });
}
template <class T>
inline auto operator~(const Lane<T>& a) {
  return each([&](int32_t i) { return ~a.at[i]; });
}
inline Mask operator!(const Mask& a) {
  return each([&](int32_t i) { return !a.at[i]; });
}

struct Words4 {
  Lane<uint32_t> x, y, z, w;
};

inline Lane<int32_t> lane_index() {
  return each([](int32_t i) { return i; });
}
inline void sync_warp() {}

// ------------------------------------------------------------------------------------------------- memory

template <class T>
inline Lane<T> load(const T* base, const Lane<int32_t>& index) {
  return each([&](int32_t i) { return base[index.at[i]]; });
}

template <class T>
inline Lane<T> load_where(const Mask& mask, const T* base, const Lane<int32_t>& index,
                          const std::type_identity_t<Lane<T>>& otherwise) {
  return each([&](int32_t i) { return mask.at[i] ? base[index.at[i]] : otherwise.at[i]; });
}

inline Words4 load_words4(const void* base16, const Lane<int32_t>& index) {
  Words4 out;
  for (int32_t i = 0; i < kLanes; ++i) {
    uint32_t words[4];
    std::memcpy(words, static_cast<const uint8_t*>(base16) + 16 * static_cast<int64_t>(index.at[i]), 16);
    out.x.at[i] = words[0];
    out.y.at[i] = words[1];
    out.z.at[i] = words[2];
    out.w.at[i] = words[3];
  }
  return out;
}

template <class T>
inline void store(T* base, const Lane<int32_t>& index, const std::type_identity_t<Lane<T>>& value) {
  for (int32_t i = 0; i < kLanes; ++i) base[index.at[i]] = value.at[i];
}

template <class T>
inline void store_where(const Mask& mask, T* base, const Lane<int32_t>& index,
                        const std::type_identity_t<Lane<T>>& value) {
  for (int32_t i = 0; i < kLanes; ++i) {
    if (mask.at[i]) base[index.at[i]] = value.at[i];
  }
}

// ------------------------------------------------------------------------------------------ between lanes

template <class A, class B>
inline auto select(const Mask& mask, const A& yes, const B& no) {
  using T = decltype(true ? ScalarOf<A>{} : ScalarOf<B>{});
  return each([&](int32_t i) { return mask.at[i] ? T(element(yes, i)) : T(element(no, i)); });
}

inline bool any(const Mask& mask) {
  for (bool value : mask.at) {
    if (value) return true;
  }
  return false;
}
inline bool all(const Mask& mask) { return !any(!mask); }

template <class T>
inline Lane<T> shuffle_xor(const Lane<T>& value, int32_t distance) {
  return each([&](int32_t i) { return value.at[i ^ distance]; });
}

template <class T>
inline T value_at(const Lane<T>& value, int32_t lane) {
  return value.at[lane];
}

template <class T>
inline T larger_of(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::fmax(a, b);
  } else {
    return a > b ? a : b;
  }
}
template <class T>
inline T smaller_of(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::fmin(a, b);
  } else {
    return a < b ? a : b;
  }
}

// What lane 0 of a butterfly holds; the others hold the same, as `f` is commutative.
template <class T, class F>
inline T butterfly(Lane<T> value, F f) {
  for (int32_t distance = kLanes / 2; distance > 0; distance /= 2) {
    for (int32_t i = 0; i < distance; ++i) value.at[i] = f(value.at[i], value.at[i + distance]);
  }
  return value.at[0];
}

template <class T>
inline T sum(const Lane<T>& value) {
  return butterfly(value, [](T a, T b) { return static_cast<T>(a + b); });
}
template <class T>
inline T largest(const Lane<T>& value) {
  return butterfly(value, larger_of<T>);
}
template <class T>
inline T smallest(const Lane<T>& value) {
  return butterfly(value, smaller_of<T>);
}

// ---------------------------------------------------------------------------------------------- arithmetic

inline Lane<int32_t> dot4(const Lane<uint32_t>& a, const Lane<uint32_t>& b, const Lane<int32_t>& c) {
  return each([&](int32_t i) {
    int32_t total = c.at[i];
    for (int32_t shift = 0; shift < 32; shift += 8)
      total += static_cast<int8_t>(a.at[i] >> shift) * static_cast<int8_t>(b.at[i] >> shift);
    return total;
  });
}

inline Lane<uint32_t> pick_bytes(const Lane<uint32_t>& a, const Lane<uint32_t>& b,
                                 const Lane<uint32_t>& which) {
  return each([&](int32_t i) {
    const uint64_t both = static_cast<uint64_t>(b.at[i]) << 32 | a.at[i];
    uint32_t out = 0;
    for (int32_t byte = 0; byte < 4; ++byte) {
      const uint32_t place = which.at[i] >> (4 * byte) & 7;
      out |= static_cast<uint32_t>(both >> (8 * place) & 0xff) << (8 * byte);
    }
    return out;
  });
}

inline float fma(float a, float b, float c) { return std::fma(a, b, c); }
inline Lane<float> fma(const Lane<float>& a, const Lane<float>& b, const Lane<float>& c) {
  return each([&](int32_t i) { return std::fma(a.at[i], b.at[i], c.at[i]); });
}

#define OSTINATO_FUNCTION(NAME)                                 \
  inline float NAME(float x) { return std::NAME(x); }           \
  inline Lane<float> NAME(const Lane<float>& x) {               \
    return each([&](int32_t i) { return std::NAME(x.at[i]); }); \
  }
OSTINATO_FUNCTION(exp)
OSTINATO_FUNCTION(log)
OSTINATO_FUNCTION(sqrt)
OSTINATO_FUNCTION(abs)
OSTINATO_FUNCTION(rint)
OSTINATO_FUNCTION(sin)
OSTINATO_FUNCTION(cos)
OSTINATO_FUNCTION(tanh)
#undef OSTINATO_FUNCTION

inline int32_t abs(int32_t x) { return x < 0 ? -x : x; }
inline Lane<int32_t> abs(const Lane<int32_t>& x) {
  return each([&](int32_t i) { return abs(x.at[i]); });
}

inline float power(float base, float exponent) {
  return static_cast<float>(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
}
inline Lane<float> power(const Lane<float>& base, const Lane<float>& exponent) {
  return each([&](int32_t i) { return power(base.at[i], exponent.at[i]); });
}

template <class A, class B>
inline auto maximum(const A& a, const B& b) {
  if constexpr (Lanes<A, B>) {
    return each([&](int32_t i) { return maximum(element(a, i), element(b, i)); });
  } else {
    return larger_of<std::common_type_t<A, B>>(a, b);
  }
}
template <class A, class B>
inline auto minimum(const A& a, const B& b) {
  if constexpr (Lanes<A, B>) {
    return each([&](int32_t i) { return minimum(element(a, i), element(b, i)); });
  } else {
    return smaller_of<std::common_type_t<A, B>>(a, b);
  }
}

inline Lane<float> half_to_float(const Lane<uint16_t>& half) {
  return each([&](int32_t i) { return half_to_float(half.at[i]); });
}
inline Lane<uint16_t> float_to_half(const Lane<float>& value) {
  return each([&](int32_t i) { return float_to_half(value.at[i]); });
}

template <class T, class U>
inline auto convert(const U& value) {
  if constexpr (is_lane<U>) {
    return each([&](int32_t i) { return static_cast<T>(value.at[i]); });
  } else {
    return static_cast<T>(value);
  }
}

template <class T, class U>
inline auto bits(const U& value) {
  if constexpr (is_lane<U>) {
    return each([&](int32_t i) { return bits<T>(value.at[i]); });
  } else {
    static_assert(sizeof(T) == sizeof(U));
    T out;
    std::memcpy(&out, &value, sizeof(T));
    return out;
  }
}

inline uint32_t multiply_high(uint32_t a, uint32_t b) {
  return static_cast<uint32_t>((static_cast<uint64_t>(a) * b) >> 32);
}
inline Lane<uint32_t> multiply_high(const Lane<uint32_t>& a, const Lane<uint32_t>& b) {
  return each([&](int32_t i) { return multiply_high(a.at[i], b.at[i]); });
}

// ------------------------------------------------------------------------------------------------- atomics

inline Lane<int32_t> atomic_add_where(const Mask& mask, int32_t* base, const Lane<int32_t>& index,
                                      const Lane<int32_t>& value) {
  return each([&](int32_t i) {
    return mask.at[i] ? std::atomic_ref(base[index.at[i]]).fetch_add(value.at[i], std::memory_order_relaxed)
                      : 0;
  });
}
inline Lane<int32_t> atomic_or_where(const Mask& mask, int32_t* base, const Lane<int32_t>& index,
                                     const Lane<int32_t>& value) {
  return each([&](int32_t i) {
    return mask.at[i] ? std::atomic_ref(base[index.at[i]]).fetch_or(value.at[i], std::memory_order_relaxed)
                      : 0;
  });
}
inline Lane<int32_t> atomic_add(int32_t* base, const Lane<int32_t>& index, const Lane<int32_t>& value) {
  return atomic_add_where(true, base, index, value);
}
inline Lane<int32_t> atomic_or(int32_t* base, const Lane<int32_t>& index, const Lane<int32_t>& value) {
  return atomic_or_where(true, base, index, value);
}

}  // namespace ostinato::cuda
