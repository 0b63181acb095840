// Vectors of float32 and what is done to all lanes of them. Included by encoders.cpp, inside a level's
// namespace.

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Vec __attribute__((vector_size(4 * kLanes)));
typedef int32_t Mask __attribute__((vector_size(4 * kLanes)));  // what comparisons of Vec give: 0 or -1

constexpr float kRounder = 0x1.8p23f;  // adding it leaves no bits behind the point, for magnitudes below 2^22

// To the nearest integer, ties to even; |x| < 2^22.
LANE_INLINE Vec round_even(Vec x) { return (x + kRounder) - kRounder; }
LANE_INLINE float round_even(float x) { return (x + kRounder) - kRounder; }

LANE_INLINE Vec splat(float x) { return Vec{} + x; }
LANE_INLINE Vec smaller(Vec a, Vec b) { return a < b ? a : b; }
LANE_INLINE Vec larger(Vec a, Vec b) { return a > b ? a : b; }
LANE_INLINE Vec clamp(Vec x, float low, float high) { return smaller(larger(x, splat(low)), splat(high)); }
LANE_INLINE float clamp(float x, float low, float high) {
  x = x > low ? x : low;
  return x < high ? x : high;
}
LANE_INLINE Vec magnitude(Vec x) { return x < 0 ? -x : x; }

// kLanes runs of kCount consecutive values: run `l` becomes lane `l`.
template <int kCount>
LANE_INLINE void load_runs(const float* x, Vec* out) {
  for (int i = 0; i < kCount; ++i)
    for (int lane = 0; lane < kLanes; ++lane) out[i][lane] = x[lane * kCount + i];
}

LANE_INLINE Vec load(const float* x) {
  Vec out;
  std::memcpy(&out, x, sizeof(out));
  return out;
}
LANE_INLINE void store(Vec x, float* out) { std::memcpy(out, &x, sizeof(x)); }
