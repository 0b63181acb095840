// The sums of sums.md spelled out in plain C++: what any machine runs, and what every other level must equal.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/kernels/formats.h"
#include "cpu/kernels/level.h"
#include "cpu/kernels/pack.h"

namespace ostinato::cpu::portable {
namespace {

// ---- activations

int32_t sum(const int8_t* q, int n) {
  int32_t total = 0;
  for (int i = 0; i < n; ++i) total += q[i];
  return total;
}

struct Packer {
  template <int kCount>
  static uint32_t largest(const float* x) {
    uint32_t bits = 0;
    for (int i = 0; i < kCount; ++i) bits = std::max(bits, std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu);
    return bits;
  }

  template <int kCount>
  static void round(const float* x, float inverse, int8_t* q) {
    constexpr float kRound =
        0x1.8p23f;  // adding it leaves the nearest integer (ties to even) in the low bits
    for (int i = 0; i < kCount; ++i) {
      const float shifted = x[i] * inverse + kRound;
      q[i] = static_cast<int8_t>(std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRound));
    }
  }

  static void set_sums(SuperRow& row) {
    for (int j = 0; j < 16; ++j) row.sums16[j] = static_cast<int16_t>(sum(row.q + 16 * j, 16));
    for (int j = 0; j < 8; ++j) row.sums32[j] = static_cast<int16_t>(sum(row.q + 32 * j, 32));
    measure(row);
  }

  static int32_t sum32(const int8_t* q) { return sum(q, 32); }
};

// ---- products: a block unpacked once, its float terms added for every activation row

int32_t dot(const uint8_t* w, const int8_t* a, int n) {
  int32_t total = 0;
  for (int i = 0; i < n; ++i) total += w[i] * a[i];
  return total;
}

template <class F>
struct Super {
  using Block = typename F::Block;
  using Row = SuperRow;
  static constexpr int kElements = kSuper, kSubs = kSuper / F::kSub;
  uint8_t codes[kSuper];
  Subs subs;
  float d, dmin = 0;

  explicit Super(const Block& block) : subs(F::subs(block)), d(F::d(block)) {
    for (int c = 0; c < 8; ++c) store32(codes + 32 * c, F::codes(block, c));
    if constexpr (F::kMins) dmin = F::dmin(block);
  }

  float add(const Row* rows, int64_t index, float acc) const {
    const Row& a = rows[index];
    const int16_t* sums = F::kSub == 16 ? a.sums16 : a.sums32;
    int32_t scaled = 0, least = 0;
    for (int j = 0; j < kSubs; ++j) {
      const int at = F::kSub * j;
      scaled += subs.sc[j] * (dot(codes + at, a.q + at, F::kSub) - F::kZero * sums[j]);
      least += subs.m[j] * sums[j];
    }
    const auto s = static_cast<float>(scaled), m = static_cast<float>(least);
    return std::fma(a.d, F::kMins ? std::fma(d, s, -(dmin * m)) : d * s, acc);
  }
};

template <class F>
struct Small {
  using Block = typename F::Block;
  using Row = BlockRow;
  static constexpr int kElements = F::kElements, kChunks = kElements / 32;
  uint8_t codes[kElements];
  float d[kElements / F::kWidth], m = 0;

  explicit Small(const Block& block) {
    for (int c = 0; c < kChunks; ++c) store32(codes + 32 * c, F::codes(block, c));
    for (int j = 0; j < kElements / F::kWidth; ++j) d[j] = F::d(block, j);
    if constexpr (F::kMins) m = F::m(block);
  }

  float add(const Row* rows, int64_t index, float acc) const {
    for (int c = 0; c < kChunks; ++c) {
      const int64_t chunk = kChunks * index + c;
      acc = add_chunk(rows[chunk / 8], static_cast<int>(chunk % 8), c, acc);
    }
    return acc;
  }

 private:
  // Columns 32 j .. 32 j + 31 of a, which are chunk c of the block.
  float add_chunk(const Row& a, int j, int c, float acc) const {
    for (int at = 0; at < 32; at += F::kWidth) {
      const int8_t* q = a.q + 32 * j + at;
      const int32_t exact = dot(codes + 32 * c + at, q, F::kWidth) - F::kZero * sum(q, F::kWidth);
      const auto i = static_cast<float>(exact), scale = d[(32 * c + at) / F::kWidth];
      acc = F::kMins ? std::fma(a.d[j], std::fma(scale, i, m * static_cast<float>(-a.minus_sums[j])), acc)
                     : std::fma(scale * a.d[j], i, acc);
    }
    return acc;
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

struct F32 {
  static float at(const uint8_t* row, int64_t i) { return read<float>(row + 4 * i); }
};
struct F16 {
  static float at(const uint8_t* row, int64_t i) { return from_half(row + 2 * i); }
};
struct BF16 {
  static float at(const uint8_t* row, int64_t i) { return from_bfloat(row + 2 * i); }
};

template <class Element>
float float_dot(const uint8_t* row, const float* x, int64_t k) {
  float lanes[kLanes] = {};
  for (int64_t i = 0; i < k; ++i) lanes[i % kLanes] = std::fma(Element::at(row, i), x[i], lanes[i % kLanes]);
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

Matmul* kernel(TensorType type) {
  Matmul* found = nullptr;
  const auto super = [&]<class F>() { found = &matmul<Super<F>>; };
  const auto small = [&]<class F>() { found = &matmul<Small<F>>; };
  if (type == TensorType::kF32) return &float_matmul<F32>;
  if (type == TensorType::kF16) return &float_matmul<F16>;
  if (type == TensorType::kBF16) return &float_matmul<BF16>;
  if (!with_format(type, SuperFormats{}, super)) with_format(type, SmallFormats{}, small);
  return found;
}

}  // namespace

const Level level = {Isa::kPortable, "portable", pack_super<Packer>, pack_blocks<Packer>, kernel};

}  // namespace ostinato::cpu::portable
