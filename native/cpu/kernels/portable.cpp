// The sums of sums.md spelled out in plain C++: what any machine runs, and what every other level must equal.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/kernels/blocks.h"
#include "cpu/kernels/level.h"

namespace ostinato::cpu::portable {
namespace {

// ---- activations

// Quantises n floats with one scale and returns it; see "Activations" in sums.md.
float quantize(const float* x, int n, int8_t* q) {
  uint32_t bits = 0;
  for (int i = 0; i < n; ++i) bits = std::max(bits, std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu);
  const float largest = std::bit_cast<float>(bits);
  if (bits >= 0x7f800000u || largest < kTiny) {
    std::memset(q, 0, n);
    return bits >= 0x7f800000u ? std::bit_cast<float>(0x7fc00000u) : 0.0f;
  }
  constexpr float kRound = 0x1.8p23f;  // adding it leaves the nearest integer (ties to even) in the low bits
  const float inverse = 127.0f / largest;
  for (int i = 0; i < n; ++i) {
    const float shifted = x[i] * inverse + kRound;
    q[i] = static_cast<int8_t>(std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRound));
  }
  return largest / 127.0f;
}

int32_t sum(const int8_t* q, int n) {
  int32_t total = 0;
  for (int i = 0; i < n; ++i) total += q[i];
  return total;
}

void pack_super(const float* x, int64_t k, void* out) {
  auto* rows = static_cast<SuperRow*>(out);
  for (int64_t b = 0; b < k / kSuper; ++b) {
    SuperRow& row = rows[b] = {};
    row.d = quantize(x + b * kSuper, kSuper, row.q);
    for (int j = 0; j < 16; ++j) row.sums16[j] = static_cast<int16_t>(sum(row.q + 16 * j, 16));
    for (int j = 0; j < 8; ++j) row.sums32[j] = static_cast<int16_t>(sum(row.q + 32 * j, 32));
  }
}

void pack_blocks(const float* x, int64_t k, void* out) {
  auto* rows = static_cast<BlockRow*>(out);
  for (int64_t b = 0; b < k / 32; ++b) {
    BlockRow& row = rows[b / 8];
    if (b % 8 == 0) row = {};
    const int j = static_cast<int>(b % 8);
    row.d[j] = quantize(x + 32 * b, 32, row.q + 32 * j);
    row.minus_sums[j] = -sum(row.q + 32 * j, 32);
  }
}

// ---- products: `unpack` a step of a weight row once, `add` its float term for every activation row

int32_t dot(const uint8_t* w, const int8_t* a, int n) {
  int32_t total = 0;
  for (int i = 0; i < n; ++i) total += w[i] * a[i];
  return total;
}

struct Q4_K {
  using Block = BlockQ4_K;
  using Row = SuperRow;
  static constexpr int kElements = 256;
  uint8_t q[256];
  ScalesQ4_K scales;
  float d, dmin;

  explicit Q4_K(const Block& block) {
    unpack_quants(block, q);
    scales = decode_scales(block.scales);
    d = from_half(block.d);
    dmin = from_half(block.dmin);
  }
  float add(const Row* rows, int64_t block, float acc) const {
    const Row& a = rows[block];
    int32_t scaled = 0, least = 0;
    for (int j = 0; j < 8; ++j) {
      scaled += scales.sc[j] * dot(q + 32 * j, a.q + 32 * j, 32);
      least += scales.m[j] * a.sums32[j];
    }
    const float term = std::fma(d, static_cast<float>(scaled), -(dmin * static_cast<float>(least)));
    return std::fma(a.d, term, acc);
  }
};

struct Q6_K {
  using Block = BlockQ6_K;
  using Row = SuperRow;
  static constexpr int kElements = 256;
  uint8_t q[256];
  int8_t sc[16];
  float d;

  explicit Q6_K(const Block& block) {
    unpack_quants(block, q);
    std::memcpy(sc, block.sc, sizeof sc);
    d = from_half(block.d);
  }
  float add(const Row* rows, int64_t block, float acc) const {
    const Row& a = rows[block];
    int32_t scaled = 0;
    for (int j = 0; j < 16; ++j) scaled += sc[j] * (dot(q + 16 * j, a.q + 16 * j, 16) - 32 * a.sums16[j]);
    return std::fma(a.d, d * static_cast<float>(scaled), acc);
  }
};

// Blocks of 32 whose quants are bytes with an offset.
template <int kOffset>
struct Block32 {
  using Row = BlockRow;
  static constexpr int kElements = 32;
  uint8_t q[32];
  float d;

  float add(const Row* rows, int64_t block, float acc) const {
    const Row& a = rows[block / 8];
    const int64_t j = block % 8;
    const int32_t exact = dot(q, a.q + 32 * j, 32) + kOffset * a.minus_sums[j];
    return std::fma(d * a.d[j], static_cast<float>(exact), acc);
  }
};

struct Q8_0 : Block32<128> {
  using Block = BlockQ8_0;
  explicit Q8_0(const Block& block) {
    for (int i = 0; i < 32; ++i) q[i] = static_cast<uint8_t>(block.q[i] + 128);
    d = from_half(block.d);
  }
};

struct Q4_0 : Block32<8> {
  using Block = BlockQ4_0;
  explicit Q4_0(const Block& block) {
    unpack_quants(block, q);
    d = from_half(block.d);
  }
};

template <class Type>
void matmul(WeightRows w, int64_t k, const void* packed, int64_t rows, float* out, int64_t out_stride) {
  constexpr int64_t kTile = 32;  // activation rows per unpacked weight block
  const int64_t stride = (k + kSuper - 1) / kSuper;
  const auto* a = static_cast<const typename Type::Row*>(packed);
  for (int64_t first = 0; first < rows; first += kTile) {
    const int64_t count = std::min(kTile, rows - first);
    for (int64_t i = 0; i < w.n; ++i) {
      const auto* blocks = reinterpret_cast<const typename Type::Block*>(w.data + i * w.stride);
      float acc[kTile] = {};
      for (int64_t b = 0; b < k / Type::kElements; ++b) {
        const Type unpacked(blocks[b]);
        for (int64_t r = 0; r < count; ++r) acc[r] = unpacked.add(a + (first + r) * stride, b, acc[r]);
      }
      for (int64_t r = 0; r < count; ++r) out[(first + r) * out_stride + i] = acc[r];
    }
  }
}

// ---- float weights

float weight(const uint8_t* row, int64_t i, float) { return read<float>(row + 4 * i); }
float weight(const uint8_t* row, int64_t i, uint16_t) { return from_half(row + 2 * i); }

template <class Element>
float float_dot(const uint8_t* row, const float* x, int64_t k) {
  float lanes[kLanes] = {};
  for (int64_t i = 0; i < k; ++i)
    lanes[i % kLanes] = std::fma(weight(row, i, Element{}), x[i], lanes[i % kLanes]);
  for (int64_t i = k; i % kLanes; ++i) lanes[i % kLanes] += 0.0f;  // the zero padding, which turns -0 into +0
  for (int half = kLanes / 2; half; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

template <class Element>
void float_matmul(WeightRows w, int64_t k, const void* packed, int64_t rows, float* out, int64_t out_stride) {
  const auto* x = static_cast<const float*>(packed);
  const int64_t stride = static_cast<int64_t>(packed_floats(k));
  for (int64_t i = 0; i < w.n; ++i)
    for (int64_t r = 0; r < rows; ++r)
      out[r * out_stride + i] = float_dot<Element>(w.data + i * w.stride, x + r * stride, k);
}

}  // namespace

const Level level = {
    Isa::kPortable,         "portable",   pack_super,   pack_blocks,  float_matmul<float>,
    float_matmul<uint16_t>, matmul<Q8_0>, matmul<Q4_0>, matmul<Q4_K>, matmul<Q6_K>,
};

}  // namespace ostinato::cpu::portable
