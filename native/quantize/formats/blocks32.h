// Blocks of 32 with a scale, and perhaps a minimum, in float16; q straight from the range of the values,
// without a search, byte for byte as the `gguf` package has it. Layouts: ggml-common.h.

constexpr int kBlock = 32;

LANE_INLINE float inverse_or_zero(float x) { return std::fabs(x) > kTiny ? 1 / x : 0.0f; }

// Two bytes of d, 32 of q: x = d q.
int encode_q8_0(const float* x, int blocks, uint8_t* out) {
  for (int b = 0; b < blocks; ++b, x += kBlock, out += 34) {
    const float d = std::fabs(extreme_of(x, kBlock)) / 127, inverse = inverse_or_zero(d);
    if (to_half(d) >= kHalfInfinity) return b;
    store_half(to_half(d), out);
    for (int i = 0; i < kBlock; ++i) {  // to the nearest, ties away from zero
      const float exact = x[i] * inverse;
      const int whole = static_cast<int>(exact);
      out[2 + i] = static_cast<uint8_t>(whole + static_cast<int>(2 * (exact - static_cast<float>(whole))));
    }
  }
  return blocks;
}

// The fifth bits of 32 values as four bytes, the first value lowest.
LANE_INLINE void pack_fifth_bits(const uint8_t* q, uint8_t* out) {
  uint32_t bits = 0;
  for (int i = 0; i < kBlock; ++i) bits |= static_cast<uint32_t>(q[i] >> 4 & 1) << i;
  std::memcpy(out, &bits, sizeof(bits));
}

// q = (x - floor) / step + bias, cut to whole numbers 0 .. kTop.
template <int kTop>
LANE_INLINE void cut(const float* x, float floor, float step, float bias, uint8_t* q) {
  const float inverse = inverse_or_zero(step);
  for (int i = 0; i < kBlock; ++i) {
    const int whole = static_cast<int>((x[i] - floor) * inverse + bias);
    q[i] = static_cast<uint8_t>(whole < kTop ? whole : kTop);
  }
}

template <int kBits>
LANE_INLINE void pack_block(const uint8_t* q, uint8_t* out) {
  if (kBits == 5) {
    pack_fifth_bits(q, out);
    out += 4;
  }
  pack_nibbles(q, kBlock / 2, out);
}

// x = d (q - 2^(kBits - 1)): d, the fifth bits, nibbles.
template <int kBits>
int encode_symmetric(const float* x, int blocks, uint8_t* out) {
  constexpr int kHalf = 1 << (kBits - 1), kBytes = 2 + 4 * kBits;
  for (int b = 0; b < blocks; ++b, x += kBlock, out += kBytes) {
    const float d = extreme_of(x, kBlock) / -kHalf;
    if ((to_half(d) & 0x7fff) >= kHalfInfinity) return b;
    uint8_t q[kBlock];
    cut<2 * kHalf - 1>(x, 0, d, kHalf + 0.5f, q);
    store_half(to_half(d), out);
    pack_block<kBits>(q, out + 2);
  }
  return blocks;
}

// x = d q + m: d, m, the fifth bits, nibbles.
template <int kBits>
int encode_with_minimum(const float* x, int blocks, uint8_t* out) {
  constexpr int kTop = (1 << kBits) - 1, kBytes = 4 + 4 * kBits;
  for (int b = 0; b < blocks; ++b, x += kBlock, out += kBytes) {
    float low = x[0], high = x[0];
    for (int i = 1; i < kBlock; ++i) {
      low = x[i] < low ? x[i] : low;
      high = x[i] > high ? x[i] : high;
    }
    const float d = (high - low) / kTop;
    if (to_half(d) >= kHalfInfinity || (to_half(low) & 0x7fff) >= kHalfInfinity) return b;
    uint8_t q[kBlock];
    cut<kTop>(x, low, d, 0.5f, q);
    store_half(to_half(d), out);
    store_half(to_half(low), out + 2);
    pack_block<kBits>(q, out + 4);
  }
  return blocks;
}
