// 16 float lanes, whatever the machine's vectors are: the compiler splits them. Part of isa/vectors.cpp,
// inside the level's own namespace, so that no two levels share a symbol.

typedef float F16x __attribute__((vector_size(64), may_alias));
typedef float F16xAny __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t I16x __attribute__((vector_size(64), may_alias));
typedef int32_t I16xAny __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint32_t U16x __attribute__((vector_size(64), may_alias));

constexpr int64_t kLanes = 16;

LANE_INLINE F16x load(const float* p) { return *reinterpret_cast<const F16xAny*>(p); }
LANE_INLINE void store(float* p, F16x v) { *reinterpret_cast<F16xAny*>(p) = v; }
LANE_INLINE F16x splat(float x) { return F16x{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
LANE_INLINE I16x iota() { return I16x{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}; }

// a x b + c; one rounding where the machine has it (these files are compiled with -ffp-contract=fast).
LANE_INLINE F16x fma(F16x a, F16x b, F16x c) { return a * b + c; }

LANE_INLINE F16x select(I16x mask, F16x yes, F16x no) {
#if defined(__AVX512F__)
  return mask ? yes : no;
#else
  return (F16x)(((I16x)yes & mask) | ((I16x)no & ~mask));
#endif
}

// The 16 lanes in vectors that the machine has: g++ compares wider ones lane by lane.
#if defined(__AVX512F__)
constexpr int kPartBytes = 64;
#elif defined(__AVX__)
constexpr int kPartBytes = 32;
#else
constexpr int kPartBytes = 16;
#endif
typedef float FloatPart __attribute__((vector_size(kPartBytes)));
typedef int32_t MaskPart __attribute__((vector_size(kPartBytes)));
typedef float FloatPartAny __attribute__((vector_size(kPartBytes), aligned(4), may_alias));
typedef int32_t MaskPartAny __attribute__((vector_size(kPartBytes), aligned(4), may_alias));
constexpr int kParts = 64 / kPartBytes, kPartLanes = kPartBytes / 4;
struct FloatParts {
  FloatPart part[kParts];
};
struct MaskParts {
  MaskPart part[kParts];
};

LANE_INLINE FloatPart load_part(const float* p) { return *reinterpret_cast<const FloatPartAny*>(p); }
LANE_INLINE void store_part(float* p, FloatPart v) { *reinterpret_cast<FloatPartAny*>(p) = v; }

// a < b in every lane.
LANE_INLINE I16x below(F16x a, F16x b) {
  const auto x = std::bit_cast<FloatParts>(a), y = std::bit_cast<FloatParts>(b);
  MaskParts result;
  for (int i = 0; i < kParts; ++i) result.part[i] = x.part[i] < y.part[i];
  return std::bit_cast<I16x>(result);
}
// b where a is NaN, as the machine's own maximum has it.
LANE_INLINE F16x larger(F16x a, F16x b) {
#if defined(__AVX512F__)
  return (F16x)_mm512_max_ps((__m512)a, (__m512)b);
#else
  return select(below(b, a), a, b);
#endif
}

// The first n lanes from memory, `rest` in the others.
LANE_INLINE F16x load_first(const float* p, int64_t n, float rest) {
  float lanes[kLanes];
  for (int64_t i = 0; i < kLanes; ++i) lanes[i] = i < n ? p[i] : rest;
  return load(lanes);
}
LANE_INLINE void store_first(float* p, int64_t n, F16x v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int64_t i = 0; i < n; ++i) p[i] = lanes[i];
}

#define FOLD(v, op)                                                                               \
  v = op(v, __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)); \
  v = op(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)); \
  v = op(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)); \
  v = op(v, __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));

LANE_INLINE F16x plus(F16x a, F16x b) { return a + b; }
LANE_INLINE float sum_lanes(F16x v) {
  FOLD(v, plus)
  return v[0];
}
LANE_INLINE float max_lanes(F16x v) {
#if defined(__AVX512F__)
  FOLD(v, larger)
  return v[0];
#else
  const auto x = std::bit_cast<FloatParts>(v);
  FloatPart most = x.part[0];
  for (int i = 1; i < kParts; ++i) most = x.part[i] > most ? x.part[i] : most;
  float top = most[0];
  for (int i = 1; i < kPartBytes / 4; ++i) top = most[i] > top ? most[i] : top;
  return top;
#endif
}
#undef FOLD

// Calls body(start, lanes) over n elements in steps of 16; lanes < 16 for the last, if n does not divide.
template <class Body>
LANE_INLINE void by_lanes(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, kLanes);
  if (i < n) body(i, n - i);
}
LANE_INLINE F16x load_some(const float* p, int64_t lanes, float rest = 0) {
  return lanes == kLanes ? load(p) : load_first(p, lanes, rest);
}
LANE_INLINE void store_some(float* p, int64_t lanes, F16x v) {
  lanes == kLanes ? store(p, v) : store_first(p, lanes, v);
}

// A part of float16 numbers as floats.
LANE_INLINE FloatPart load_half_part(const uint16_t* p) {
#if defined(__AVX512F__)
  return (FloatPart)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(__F16C__)
  return (FloatPart)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(__aarch64__)
  return (FloatPart)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
#else
  MaskPart h;
  for (int i = 0; i < kPartLanes; ++i) h[i] = p[i];
  const MaskPart magnitude = (h & 0x7fff) << 13;
  const MaskPart finite = (MaskPart)((FloatPart)magnitude * 0x1p112f);  // rebias; subnormals come out exact
  const MaskPart special = magnitude | 0x7f800000;                      // infinity, NaN
  const MaskPart is_special = (h & 0x7fff) >= 0x7c00;
  return (FloatPart)((h & 0x8000) << 16 | (special & is_special) | (finite & ~is_special));
#endif
}

// A part of bytes as floats.
LANE_INLINE FloatPart load_bytes_part(const int8_t* p) {
#if defined(__AVX512F__)
  return (FloatPart)_mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#elif defined(__AVX2__)
  return (FloatPart)_mm256_cvtepi32_ps(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#else
  typedef int8_t Bytes __attribute__((vector_size(16)));
  int32_t four;
  __builtin_memcpy(&four, p, sizeof four);
  const auto bytes = (Bytes)MaskPart{four};
  const Bytes twice = __builtin_shufflevector(bytes, bytes, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  const Bytes often = __builtin_shufflevector(twice, twice, 0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 7, 6, 7);
  return __builtin_convertvector((MaskPart)often >> 24, FloatPart);
#endif
}

// 16 lanes from a function of each part.
template <class Part>
LANE_INLINE F16x join_parts(Part part) {
  FloatParts all;
  for (int i = 0; i < kParts; ++i) all.part[i] = part(i);
  return std::bit_cast<F16x>(all);
}
LANE_INLINE F16x load_half(const uint16_t* p) {
  return join_parts([&](int i) { return load_half_part(p + i * kPartLanes); });
}
LANE_INLINE F16x load_bytes(const int8_t* p) {
  return join_parts([&](int i) { return load_bytes_part(p + i * kPartLanes); });
}

// One float16, rounded to nearest even; too large becomes infinity.
LANE_INLINE uint16_t half_of(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00);
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // 65520 and more
  if (magnitude <
      0x38800000) {  // subnormal: adding 0.5 leaves units of 2^-24 in the low bits, rounded to even
    float shifted;
    __builtin_memcpy(&shifted, &magnitude, sizeof shifted);
    shifted += 0.5f;
    uint32_t low;
    __builtin_memcpy(&low, &shifted, sizeof low);
    return static_cast<uint16_t>(sign | (low - 0x3f000000));
  }
  const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
  return static_cast<uint16_t>(sign | ((rounded - (112u << 23)) >> 13));
}
