// Weights as bf16: every element as `dequantize` has it, rounded to nearest even, subnormal ones to zero.
//
// 16 weight rows at a time, kStep columns: each row is expanded in its own order, then pairs of neighbouring
// columns are turned into the order of a B tile.
#pragma once
#include <algorithm>

#include "cpu/kernels/amx/tile.h"
#include "cpu/kernels/avx512/lanes.h"
#include "cpu/kernels/bytes.h"
#include "cpu/kernels/formats.h"

namespace ostinato::cpu::OSTINATO_AMX {
namespace {

constexpr int kDepth = 32;         // columns of a tile of bf16
constexpr int64_t kStep = kSuper;  // columns that are expanded together
constexpr int64_t kStepPad = 32;   // between expanded rows, which else would share few cache sets

struct alignas(64) BTile {
  uint32_t pairs[kDepth / 2][kTileRows];  // [k / 2][weight row]: bf16 of k (low half) and k + 1
};

struct alignas(64) ExpandedRows {
  uint16_t row[kTileRows][kStep + kStepPad];
};

inline void store_bfloats(__m512 low, __m512 high, uint16_t* out) {
  _mm512_storeu_si512(out, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
}

// 16 signed bytes as floats.
inline __m512 floats_of(__m128i bytes) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)); }

// code - kZero for 32 codes.
template <class F>
BYTES_INLINE __m256i values(Bytes codes) {
  static_assert(F::kZero <= 128 && F::kTop - F::kZero <= 127);
  return reinterpret_cast<__m256i>(F::kZero ? codes - splat(F::kZero) : codes);
}

// ---- of one row, columns [from, from + count): `out` holds whole tiles

template <class F>
struct SuperRows {
  static void expand(const uint8_t* row, int64_t from, int64_t count, uint16_t* out) {
    const auto* blocks = reinterpret_cast<const typename F::Block*>(row);
    for (int64_t at = 0; at < count; at += kSuper) expand(blocks[(from + at) / kSuper], out + at);
  }

 private:
  // Products of a scale and a code of types with minima are exact, so one rounding here is dequantize's.
  static void expand(const typename F::Block& block, uint16_t* out) {
    const Subs subs = F::subs(block);
    alignas(64) float scale[16], least[16];
    _mm512_store_ps(scale, _mm512_mul_ps(_mm512_set1_ps(F::d(block)), floats_of((__m128i)subs.sc)));
    if constexpr (F::kMins) {
      const __m512 m = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32((__m128i)subs.m));
      _mm512_store_ps(least, _mm512_mul_ps(_mm512_set1_ps(F::dmin(block)), m));
    }
    const auto half = [&](__m128i v, int j) {
      const __m512 x = floats_of(v), d = _mm512_set1_ps(scale[j]);
      return F::kMins ? _mm512_fmsub_ps(x, d, _mm512_set1_ps(least[j])) : _mm512_mul_ps(x, d);
    };
#pragma GCC unroll 8
    for (int c = 0; c < 8; ++c) {
      const __m256i v = values<F>(F::codes(block, c));
      store_bfloats(half(_mm256_castsi256_si128(v), 32 * c / F::kSub),
                    half(_mm256_extracti128_si256(v, 1), (32 * c + 16) / F::kSub), out + 32 * c);
    }
  }
};

template <class F>
struct SmallRows {
  static void expand(const uint8_t* row, int64_t from, int64_t count, uint16_t* out) {
    constexpr int kChunks = F::kElements / 32;
    const auto* blocks = reinterpret_cast<const typename F::Block*>(row);
    for (int64_t chunk = from / 32; chunk < (from + count) / 32; ++chunk, out += 32) {
      const auto& block = blocks[chunk / kChunks];
      const int c = static_cast<int>(chunk % kChunks);
      const __m256i v = values<F>(F::codes(block, c));
      const auto half = [&](__m128i part, int at) {
        const __m512 x = floats_of(part), d = _mm512_set1_ps(F::d(block, (32 * c + at) / F::kWidth));
        if constexpr (F::kMins) return _mm512_fmadd_ps(x, d, _mm512_set1_ps(F::m(block)));
        return _mm512_mul_ps(x, d);
      };
      store_bfloats(half(_mm256_castsi256_si128(v), 0), half(_mm256_extracti128_si256(v, 1), 16), out);
    }
  }
};

// The lanes that hold columns below `count`, from column i on.
inline __mmask16 lanes_below(int64_t count, int64_t i) {
  return static_cast<__mmask16>((1u << std::clamp<int64_t>(count - i, 0, 16)) - 1);
}

struct F16Rows {
  static void expand(const uint8_t* row, int64_t from, int64_t count, uint16_t* out) {
    const auto at = [&](int64_t i) {
      return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes_below(count, i), row + 2 * (from + i)));
    };
    for (int64_t i = 0; i < count; i += kDepth) store_bfloats(at(i), at(i + 16), out + i);
  }
};

struct BF16Rows {
  static void expand(const uint8_t* row, int64_t from, int64_t count, uint16_t* out) {
    for (int64_t i = 0; i < count; i += kDepth) {
      const __mmask32 lanes = lanes_below(count, i) | static_cast<__mmask32>(lanes_below(count, i + 16))
                                                          << 16;
      _mm512_storeu_si512(out + i, _mm512_maskz_loadu_epi16(lanes, row + 2 * (from + i)));
    }
  }
};

// ---- tiles

// What 32 weight rows have of kDepth columns.
struct BPair {
  BTile half[2];
};

// Columns [from, from + count) of 16 rows, those halves of pairs; the last pair is filled up with zeros.
using Expand = void(const uint8_t* const rows[kTileRows], int64_t from, int64_t count, int half, BPair* out);

template <class Rows>
void expand_tiles(const uint8_t* const rows[kTileRows], int64_t from, int64_t count, int half, BPair* out) {
  ExpandedRows expanded;
  const uint8_t* pointers[kTileRows];
  for (int r = 0; r < kTileRows; ++r) {
    Rows::expand(rows[r], from, count, expanded.row[r]);
    pointers[r] = reinterpret_cast<const uint8_t*>(expanded.row[r]);
  }
  for (int64_t i = 0; i < count; i += kDepth) {
    __m512i v[kTileRows];
    avx512::columns16(pointers, 2 * i, v);
    BTile& tile = out[i / kDepth].half[half];
    for (int pair = 0; pair < kDepth / 2; ++pair) _mm512_store_si512(tile.pairs[pair], v[pair]);
  }
}

Expand* expander(TensorType type) {
  Expand* found = nullptr;
  const auto super = [&]<class F>() { found = &expand_tiles<SuperRows<F>>; };
  const auto small = [&]<class F>() { found = &expand_tiles<SmallRows<F>>; };
  if (type == TensorType::kF16) return &expand_tiles<F16Rows>;
  if (type == TensorType::kBF16) return &expand_tiles<BF16Rows>;
  if (!with_format(type, SuperFormats{}, super)) with_format(type, SmallFormats{}, small);
  return found;
}

}  // namespace
}  // namespace ostinato::cpu::OSTINATO_AMX
