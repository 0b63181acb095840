// A register tile of exact sums: kRows activation rows times eight weight rows.
//
// With matrix products (FEAT_I8MM) a register holds two activation rows a, b times two weight rows u, v, as
// smmla leaves them: [a u, a v, b u, b v]. Without, one activation row times four weight rows, by sdot.
// Weights lie in cells of eight columns, 64 bytes, in the order in which those instructions take them.
#pragma once
#include <algorithm>

#include "cpu/kernels/neon/lanes.h"

namespace ostinato::cpu {
namespace {

constexpr int kTileWeights = 8;
constexpr int kCellColumns = 8, kCell = kCellColumns * kTileWeights;

#ifdef __ARM_FEATURE_MATMUL_INT8

template <int kRows>
struct Tile {
  static constexpr int kGroups = (kRows + 1) / 2, kParts = 4;
  int32x4_t sum[kGroups][kParts] = {};

  // The products of 16 columns: two cells and 16 bytes of each activation row.
  template <class RowAt>
  [[gnu::always_inline]] void add(const int8_t* cells, RowAt at) {
    int8x16_t x[kGroups][2];
#pragma GCC unroll 2
    for (int g = 0; g < kGroups; ++g) {
      const int64x2_t a = vreinterpretq_s64_s8(load16(at(2 * g)));
      const int64x2_t b = vreinterpretq_s64_s8(load16(at(std::min(2 * g + 1, kRows - 1))));
      x[g][0] = vreinterpretq_s8_s64(vzip1q_s64(a, b)), x[g][1] = vreinterpretq_s8_s64(vzip2q_s64(a, b));
    }
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half)
#pragma GCC unroll 4
      for (int part = 0; part < kParts; ++part) {
        const int8x16_t w = load16(cells + kCell * half + 16 * part);
#pragma GCC unroll 2
        for (int g = 0; g < kGroups; ++g) sum[g][part] = vmmlaq_s32(sum[g][part], x[g][half], w);
      }
  }

  // The sums of activation row r with weight rows 4 half .. 4 half + 3.
  [[gnu::always_inline]] int32x4_t row(int r, int half) const {
    const int64x2_t u = vreinterpretq_s64_s32(sum[r / 2][2 * half]);
    const int64x2_t v = vreinterpretq_s64_s32(sum[r / 2][2 * half + 1]);
    return vreinterpretq_s32_s64(r % 2 ? vzip2q_s64(u, v) : vzip1q_s64(u, v));
  }

  // Of eight numbers, one to a weight row, those of a register.
  BYTES_INLINE int32x4_t of_weights(const int32_t* numbers, int part) {
    const int32x2_t pair = vld1_s32(numbers + 2 * part);
    return vcombine_s32(pair, pair);
  }
  BYTES_INLINE float32x4_t of_weights(const float* numbers, int part) {
    const float32x2_t pair = vld1_f32(numbers + 2 * part);
    return vcombine_f32(pair, pair);
  }

  // number(r) of the activation rows of group g.
  template <class Number>
  BYTES_INLINE float32x4_t of_rows(Number number, int g) {
    return vcombine_f32(vdup_n_f32(number(2 * g)), vdup_n_f32(number(std::min(2 * g + 1, kRows - 1))));
  }

  BYTES_INLINE float32x4_t load(const float (*rows)[kTileWeights], int g, int part) {
    return vcombine_f32(vld1_f32(rows[2 * g] + 2 * part),
                        vld1_f32(rows[std::min(2 * g + 1, kRows - 1)] + 2 * part));
  }
  BYTES_INLINE void store(float (*rows)[kTileWeights], int g, int part, float32x4_t v) {
    vst1_f32(rows[2 * g] + 2 * part, vget_low_f32(v));
    if (2 * g + 1 < kRows) vst1_f32(rows[2 * g + 1] + 2 * part, vget_high_f32(v));
  }
};

constexpr int kMeeting = 2;  // weight rows that share a register

// 16 columns of weight rows first .. first + kMeeting - 1, into two cells.
BYTES_INLINE void store_cells(const int8x16_t rows[kMeeting], int first, int8_t* cells) {
  const int64x2_t u = vreinterpretq_s64_s8(rows[0]), v = vreinterpretq_s64_s8(rows[1]);
  vst1q_s8(cells + 8 * first, vreinterpretq_s8_s64(vzip1q_s64(u, v)));
  vst1q_s8(cells + kCell + 8 * first, vreinterpretq_s8_s64(vzip2q_s64(u, v)));
}

#else

template <int kRows>
struct Tile {
  static constexpr int kGroups = kRows, kParts = 2;
  int32x4_t sum[kGroups][kParts] = {};

  template <class RowAt>
  [[gnu::always_inline]] void add(const int8_t* cells, RowAt at) {
    int8x16_t x[kRows];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) x[r] = load16(at(r));
    add_word<0>(cells, x);
    add_word<1>(cells, x);
    add_word<2>(cells, x);
    add_word<3>(cells, x);
  }

  [[gnu::always_inline]] int32x4_t row(int r, int half) const { return sum[r][half]; }

  BYTES_INLINE int32x4_t of_weights(const int32_t* numbers, int part) {
    return vld1q_s32(numbers + 4 * part);
  }
  BYTES_INLINE float32x4_t of_weights(const float* numbers, int part) {
    return vld1q_f32(numbers + 4 * part);
  }

  template <class Number>
  BYTES_INLINE float32x4_t of_rows(Number number, int g) {
    return vdupq_n_f32(number(g));
  }

  BYTES_INLINE float32x4_t load(const float (*rows)[kTileWeights], int g, int part) {
    return vld1q_f32(rows[g] + 4 * part);
  }
  BYTES_INLINE void store(float (*rows)[kTileWeights], int g, int part, float32x4_t v) {
    vst1q_f32(rows[g] + 4 * part, v);
  }

 private:
  // Columns 4 kWord .. 4 kWord + 3 of the 16.
  template <int kWord>
  [[gnu::always_inline]] void add_word(const int8_t* cells, const int8x16_t* x) {
#pragma GCC unroll 2
    for (int part = 0; part < kParts; ++part) {
      const int8x16_t w = load16(cells + 32 * kWord + 16 * part);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) sum[r][part] = vdotq_laneq_s32(sum[r][part], w, x[r], kWord);
    }
  }
};

constexpr int kMeeting = 4;

BYTES_INLINE void store_cells(const int8x16_t rows[kMeeting], int first, int8_t* cells) {
  int32x4_t v[kMeeting];
#pragma GCC unroll 4
  for (int r = 0; r < kMeeting; ++r) v[r] = vreinterpretq_s32_s8(rows[r]);
  transpose4(v);
#pragma GCC unroll 4
  for (int word = 0; word < 4; ++word) vst1q_s8(cells + 32 * word + 4 * first, vreinterpretq_s8_s32(v[word]));
}

#endif

// One step of kTileWeights weight rows: `chunks` x 32 columns as cells.
template <class F>
BYTES_INLINE void unpack_cells(const uint8_t* const rows[kTileWeights], int64_t first_chunk, int chunks,
                               int8_t (*cells)[2 * kCell]) {
  constexpr int kChunks = static_cast<int>(block_shape(F::kType).elements / 32);
#pragma GCC unroll 1
  for (int first = 0; first < kTileWeights; first += kMeeting) {
    const auto unpack = [&](int64_t block, int c, int at) {
      int8x16_t low[kMeeting], high[kMeeting];
#pragma GCC unroll 4
      for (int r = 0; r < kMeeting; ++r) {
        const auto v = values<F>(reinterpret_cast<const typename F::Block*>(rows[first + r])[block], c);
        low[r] = v.val[0], high[r] = v.val[1];
      }
      store_cells(low, first, cells[2 * at]);
      store_cells(high, first, cells[2 * at + 1]);
    };
    if constexpr (kChunks == 8) {
#pragma GCC unroll 8  // codes are the cheaper for constants in place of c
      for (int c = 0; c < 8; ++c) unpack(first_chunk / 8, c, c);
    } else {
      for (int at = 0; at < chunks; ++at)
        unpack((first_chunk + at) / kChunks, static_cast<int>((first_chunk + at) % kChunks), at);
    }
  }
}

}  // namespace
}  // namespace ostinato::cpu
