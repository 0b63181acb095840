// Generated rows of super-block types on tiles of bytes: the integers of sums.md, and its float terms.
//
// sc (code - zero) = 128 high + low, both bytes, so S = 128 (sum of high a) + (sum of low a): two integer
// tiles over the 256 columns of a super-block. Weight rows are A, in their own order; activations are B,
// turned once a call; a row of a sum tile is a weight row with 16 activation rows side by side.
//
// Expected, with no machine at hand, for a super-block of one weight row (cycles): unpacking into planes 38
// (76 operations of 512 bits at two a cycle); for every 16 activation rows 8 of products and 5 of float
// terms; turning activations, shared by 64 weight rows, 5. VNNI in lanes takes 14 and 3 to 5 for each row:
// tiles win from 9 to 14 rows on.
#include <algorithm>
#include <array>

#include "cpu/kernels/amx/level.h"
#include "cpu/kernels/avx512/lanes.h"
#include "cpu/kernels/formats.h"
#include "cpu/kernels/matmul.h"

namespace ostinato::cpu::OSTINATO_AMX {
namespace {

constexpr int64_t kTilesFrom = 12;            // activation rows
constexpr int64_t kWeights = 64, kRows = 64;  // of a pass
constexpr int kSteps = kSuper / kTileBytes;   // products of a super-block
constexpr int kSide = kTileRows;              // weight rows, and activation rows, of a sum tile

// Sub-scales of one would need one plane; those formats stay with VNNI.
using InPlanes = decltype(Formats<Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_XS>{} + GridSuper{});

// high = floor(p / 128) and low = p mod 128 of p = sc (code - zero): -128 .. 127 and 0 .. 127.
template <class F>
constexpr bool kFits = [] {
  const int scale = F::kType == TensorType::kIQ4_XS ? 32 : 128;
  return scale * std::max(F::kZero, F::kTop - F::kZero) < 128 * 128;
}();

// One super-block of 16 weight rows.
struct WeightBlock {
  alignas(64) uint8_t high[kSide][kSuper], low[kSide][kSuper];
  int16_t m[kSide][16];  // [k / kSub]
  float d[kSide], dmin[kSide];
};

// One super-block of 16 activation rows.
struct alignas(64) ActivationBlock {
  uint32_t fours[kSuper / 4][kSide];
  int32_t sums[8][kSide];  // pairs of 16-bit sums of the sub-blocks
  float d[kSide];
};

// [activation group][weight row][activation row]
struct alignas(64) Tile {
  int32_t at[kSide][kSide];
};
struct alignas(64) FloatTile {
  float at[kSide][kSide];
};

// ---- weights

// Sub-scales of 64 columns from 64 c on, one for each 16-bit pair of columns.
template <class F>
__m512i scales_of_pairs(__m512i words, int c) {
  alignas(64) static constexpr auto kIndex = [] {
    std::array<int16_t, 32> index{};
    for (int i = 0; i < 32; ++i) index[i] = static_cast<int16_t>(2 * i / F::kSub);
    return index;
  }();
  const __m512i first = _mm512_set1_epi16(static_cast<int16_t>(c * kTileBytes / F::kSub));
  return _mm512_permutexvar_epi16(_mm512_add_epi16(avx512::load(kIndex.data()), first), words);
}

// The low bytes of `even` and, moved there, of `odd`.
__m512i bytes_of(__m512i even, __m512i odd) {
  return _mm512_ternarylogic_epi32(_mm512_set1_epi16(0xff), even, odd, 0xca);
}

template <class F>
void split(const typename F::Block& block, __m128i sc, uint8_t* high, uint8_t* low) {
  const __m512i words = _mm512_zextsi256_si512(_mm256_cvtepi8_epi16(sc));
#pragma GCC unroll 4
  for (int c = 0; c < kSteps; ++c) {
    const auto codes = [&](int chunk) { return F::codes(block, chunk) - splat(F::kZero); };
    const __m512i v =
        avx512::join(reinterpret_cast<__m256i>(codes(2 * c)), reinterpret_cast<__m256i>(codes(2 * c + 1)));
    const __m512i scale = scales_of_pairs<F>(words, c);
    const __m512i even = _mm512_mullo_epi16(_mm512_srai_epi16(_mm512_slli_epi16(v, 8), 8), scale);
    const __m512i odd = _mm512_mullo_epi16(_mm512_srai_epi16(v, 8), scale);
    _mm512_store_si512(high + kTileBytes * c,
                       bytes_of(_mm512_srai_epi16(even, 7), _mm512_slli_epi16(odd, 1)));
    _mm512_store_si512(low + kTileBytes * c,
                       _mm512_and_si512(bytes_of(even, _mm512_slli_epi16(odd, 8)), _mm512_set1_epi8(127)));
  }
}

template <class F>
void unpack(const uint8_t* const rows[kSide], int64_t b, WeightBlock& out) {
  static_assert(kFits<F>);
  for (int i = 0; i < kSide; ++i) {
    const auto& block = reinterpret_cast<const typename F::Block*>(rows[i])[b];
    prefetch_piece(rows[i], (b + 1) * sizeof(block), sizeof(block));
    const Subs subs = F::subs(block);
    split<F>(block, reinterpret_cast<__m128i>(subs.sc), out.high[i], out.low[i]);
    out.d[i] = F::d(block);
    if constexpr (F::kMins) {
      out.dmin[i] = F::dmin(block);
      const __m256i words = _mm256_cvtepu8_epi16(reinterpret_cast<__m128i>(subs.m));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out.m[i]), words);
    }
  }
}

// ---- activations

// Super-block b of up to 16 rows, `stride` records apart; the last row again in what is left.
template <class F>
void turn(const SuperRow* a, int64_t count, int64_t stride, int64_t b, ActivationBlock& out) {
  const uint8_t* rows[kSide];
  for (int r = 0; r < kSide; ++r) {
    const SuperRow& row = a[std::min<int64_t>(r, count - 1) * stride + b];
    rows[r] = reinterpret_cast<const uint8_t*>(row.q);
    out.d[r] = row.d;
    const int16_t* sums = F::kSub == 16 ? row.sums16 : row.sums32;
    for (int j = 0; F::kMins && j < kSuper / F::kSub / 2; ++j) out.sums[j][r] = read<int32_t>(sums + 2 * j);
  }
  for (int c = 0; c < kSteps; ++c) {
    __m512i v[16];
    avx512::columns16(rows, kTileBytes * c, v);
    for (int i = 0; i < 16; ++i) _mm512_store_si512(out.fours[16 * c + i], v[i]);
  }
}

// ---- products

// Tiles 0, 1 (and 2, 3): sums of the high and the low plane with one group of activations (and the next); 4,
// 5: the planes; 6, 7: activations.
TileShapes shapes() {
  TileShapes s;
  std::fill_n(s.rows, kTiles, static_cast<uint8_t>(kTileRows));
  std::fill_n(s.bytes, kTiles, static_cast<uint16_t>(kTileBytes));
  return s;
}

// sums[group][plane] of one group of activations, or kBoth.
template <bool kBoth>
void multiply(const WeightBlock& w, const ActivationBlock* a, Tile (*sums)[2]) {
  zero<0>(), zero<1>();
  if constexpr (kBoth) zero<2>(), zero<3>();
  for (int c = 0; c < kSteps; ++c) {
    load<4>(w.high[0] + kTileBytes * c, kSuper);
    load<5>(w.low[0] + kTileBytes * c, kSuper);
    load<6>(a[0].fours[16 * c], kTileBytes);
    add_product_s8<0, 4, 6>();
    add_product_s8<1, 5, 6>();
    if constexpr (kBoth) {
      load<7>(a[1].fours[16 * c], kTileBytes);
      add_product_s8<2, 4, 7>();
      add_product_s8<3, 5, 7>();
    }
  }
  store<0>(&sums[0][0], kTileBytes), store<1>(&sums[0][1], kTileBytes);
  if constexpr (kBoth) store<2>(&sums[1][0], kTileBytes), store<3>(&sums[1][1], kTileBytes);
}

// The float terms of one super-block.
template <class F>
void add_terms(const WeightBlock& w, const ActivationBlock& a, const Tile* sums, FloatTile& acc) {
  const __m512 da = _mm512_load_ps(a.d);
  for (int i = 0; i < kSide; ++i) {
    const __m512i high = _mm512_slli_epi32(avx512::load(sums[0].at[i]), 7);
    const __m512 s = _mm512_cvtepi32_ps(_mm512_add_epi32(high, avx512::load(sums[1].at[i])));
    const __m512 d = _mm512_set1_ps(w.d[i]);
    __m512 term;
    if constexpr (F::kMins) {
      __m512i m = _mm512_setzero_si512();
#pragma GCC unroll 8
      for (int j = 0; j < kSuper / F::kSub / 2; ++j)
        m = _mm512_dpwssd_epi32(m, avx512::broadcast32(w.m[i] + 2 * j), avx512::load(a.sums[j]));
      term = _mm512_fmsub_ps(d, s, _mm512_mul_ps(_mm512_set1_ps(w.dmin[i]), _mm512_cvtepi32_ps(m)));
    } else {
      term = _mm512_mul_ps(d, s);
    }
    _mm512_store_ps(acc.at[i], _mm512_fmadd_ps(da, term, _mm512_load_ps(acc.at[i])));
  }
}

// out[r][i] = acc[i][r], for i < outputs and r < rows.
void write(const FloatTile& acc, int64_t rows, int64_t outputs, float* out, int64_t out_stride) {
  __m512i v[16];
  for (int i = 0; i < kSide; ++i) v[i] = avx512::load(acc.at[i]);
  avx512::transpose16(v);
  const auto lanes = static_cast<__mmask16>((1u << std::min<int64_t>(outputs, kSide)) - 1);
  for (int64_t r = 0; r < std::min<int64_t>(rows, kSide); ++r)
    _mm512_mask_storeu_epi32(out + r * out_stride, lanes, v[r]);
}

// Up to kWeights weight rows with up to kRows activation rows.
template <class F>
void multiply_pass(const WeightRows& w, int64_t k, const SuperRow* a, int64_t rows, float* out,
                   int64_t out_stride) {
  const int64_t groups = (rows + kSide - 1) / kSide, blocks = k / kSuper;
  FloatTile acc[kWeights / kSide][kRows / kSide] = {};
  ActivationBlock turned[kRows / kSide];
  WeightBlock unpacked;
  Tile sums[2][2];
  for (int64_t b = 0; b < blocks; ++b) {
    for (int64_t g = 0; g < groups; ++g)
      turn<F>(a + g * kSide * blocks, rows - g * kSide, blocks, b, turned[g]);
    for (int64_t i = 0; i < w.n; i += kSide) {
      const uint8_t* pointers[kSide];
      row_pointers(w, i, kSide, pointers);
      unpack<F>(pointers, b, unpacked);
      for (int64_t g = 0; g < groups; g += 2) {
        g + 1 < groups ? multiply<true>(unpacked, turned + g, sums)
                       : multiply<false>(unpacked, turned + g, sums);
        for (int64_t x = g; x < std::min(g + 2, groups); ++x)
          add_terms<F>(unpacked, turned[x], sums[x - g], acc[i / kSide][x]);
      }
    }
  }
  for (int64_t i = 0; i < w.n; i += kSide)
    for (int64_t g = 0; g < groups; ++g)
      write(acc[i / kSide][g], rows - g * kSide, w.n - i, out + g * kSide * out_stride + i, out_stride);
}

template <class F>
void matmul_planes(WeightRows w, int64_t k, const void* packed, int64_t rows, float* out,
                   int64_t out_stride) {
  if (rows < kTilesFrom) return avx512::level.matmul(F::kType)(w, k, packed, rows, out, out_stride);
  const auto* a = static_cast<const SuperRow*>(packed);
  const TileSession session(shapes());
  for (int64_t i = 0; i < w.n; i += kWeights)
    for (int64_t r = 0; r < rows; r += kRows)
      multiply_pass<F>({w.data + i * w.stride, std::min(kWeights, w.n - i), w.stride}, k,
                       a + r * (k / kSuper), std::min(kRows, rows - r), out + r * out_stride + i, out_stride);
}

}  // namespace

Matmul* find_generated(TensorType type) {
  Matmul* found = avx512::level.matmul(type);
  with_format(type, InPlanes{}, [&]<class F>() { found = &matmul_planes<F>; });
  return found;
}

}  // namespace ostinato::cpu::OSTINATO_AMX
