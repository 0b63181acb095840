// From fits to stored numbers: half-precision units, sub-scales in units of them, quants in units of both.
// Included by encoders.cpp.

constexpr float kTiny = 1e-30f;  // below this nothing is left in float16, and inverses would overflow
constexpr int kSuper = 256;      // values of a super-block

LANE_INLINE void store_half(uint16_t bits, uint8_t* out) { std::memcpy(out, &bits, sizeof(bits)); }

// A float16 in which other numbers are counted: its bits, its value.
struct Unit {
  uint16_t bits;
  float value;

  bool finite() const { return (bits & 0x7fff) < kHalfInfinity; }
  // `x` in units, rounded, between `low` and `high`; 0 in units of 0.
  float count(float x, float low, float high) const {
    return value == 0 ? 0.0f : round_even(clamp(x / value, low, high));
  }
};

// The unit of which `extreme` has `top` (both may be negative): nearest, but where units lie so far apart
// (below the normal float16) that `extreme` would be cut off by more than half of one, the next larger.
LANE_INLINE Unit unit_for(float extreme, float top) {
  uint16_t bits = to_half(extreme / top);
  if (std::fabs(extreme) > (std::fabs(top) + 0.5f) * std::fabs(from_half(bits))) ++bits;
  return {bits, from_half(bits)};
}

// Of `count` numbers, the one of the largest magnitude.
LANE_INLINE float extreme_of(const float* x, int count) {
  float extreme = 0;
  for (int i = 0; i < count; ++i)
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  return extreme;
}

// q = (x + low) / scale, rounded, between `least` and `most`, counted from `least`.
LANE_INLINE void quantise(const float* x, int count, float scale, float low, float least, float most,
                          uint8_t* q) {
  for (int i = 0; i < count; ++i) {
    const float exact = scale == 0 ? 0.0f : (x[i] + low) / scale;
    q[i] = static_cast<uint8_t>(static_cast<int>(round_even(clamp(exact, least, most)) - least));
  }
}

// Two values to a byte, the first in the low nibble: those of bytes `half` apart.
LANE_INLINE void pack_nibbles(const uint8_t* q, int half, uint8_t* out) {
  for (int i = 0; i < half; ++i) out[i] = static_cast<uint8_t>((q[i] & 15) | (q[i + half] & 15) << 4);
}

// 256 values of two bits, four to a byte: byte 32 h + l holds elements 128 h + l + 32 s in bits 2 s.
LANE_INLINE void pack_pairs(const uint8_t* q, int shift, uint8_t* out) {
  for (int h = 0; h < 2; ++h)
    for (int l = 0; l < 32; ++l) {
      int byte = 0;
      for (int s = 0; s < 4; ++s) byte |= (q[128 * h + 32 * s + l] >> shift & 3) << (2 * s);
      out[32 * h + l] = static_cast<uint8_t>(byte);
    }
}
