// A tile of outputs: up to four weight rows times up to eight activation rows, the dot products of one warp.
//
// Lane l ends with weight row l / 8 and activation row l % 8 * rows / 8, where rows is 1, 2, 4 or 8. The bits
// of a dot product depend on the block format and k alone: lanes take fixed parts of a row, and lanes are
// added over distances 16, 8, 4, 2, 1. How many rows share a tile only decides which lane holds which sum.
#pragma once
#include "tables.h"
#include "warp.h"

// What many phases call stays one function of the program, not a copy in each.
#define OSTINATO_SHARED_FUNCTION OSTINATO_DEVICE OSTINATO_NOINLINE

namespace ostinato::cuda {

constexpr int32_t kTileWeights = 4;
constexpr int32_t kTileRows = 8;
constexpr int32_t kLanesPerWeight = kLanes / kTileWeights;

// Rows of a weight one after the other. A tile's rows beyond `count` repeat the last one.
struct WeightRows {
  const uint8_t* first;
  int64_t stride;  // bytes, a multiple of 16
  int32_t count;   // 1 .. kTileWeights

  OSTINATO_DEVICE const uint8_t* row(int32_t i) const { return first + stride * (i < count ? i : count - 1); }
};

// What each lane ends with, in the tile at weight row `weight` of `weights` and activation row `row` of those
// up to `rows_end`.
struct Tile {
  int32_t rows;  // 1, 2, 4 or 8
  // Of this lane's sum; activation rows beyond the end repeat the last one.
  Lane<int32_t> weight, activation;
  // The first lane that has the sum, of rows that are there.
  Mask owner;

  OSTINATO_DEVICE Tile(int32_t weight, int32_t weights, int32_t row, int32_t rows_end)
      : rows(rows_for(rows_end - row)), weight(weight + lane_index() / kLanesPerWeight) {
    const Lane<int32_t> place = lane_index() % kLanesPerWeight * rows;  // in eighths of a row
    const Lane<int32_t> wanted = row + place / kLanesPerWeight;
    activation = select(wanted < rows_end, wanted, rows_end - 1);
    owner = place % kLanesPerWeight == 0 && wanted < rows_end && this->weight < weights;
  }

  OSTINATO_DEVICE static int32_t rows_for(int32_t count) {
    return count > 4 ? kTileRows : count > 2 ? 4 : count;
  }
};

// Sums over lanes that are kFrom, kFrom / 2 ... kTo apart, of kCount values (a power of two) at a time. At
// each distance a lane keeps half of the values and hands on the others, so that it ends with one sum: the
// upper bits of its number say whose. The order of adding is that of a butterfly, whatever kCount is.
template <int32_t kFrom, int32_t kTo, class T, int32_t kCount>
OSTINATO_DEVICE inline T spread_sum(const T (&values)[kCount]) {
  if constexpr (kFrom < kTo) {
    static_assert(kCount == 1);
    return values[0];
  } else if constexpr (kCount == 1) {
    const T both[1] = {values[0] + shuffle_xor(values[0], kFrom)};
    return spread_sum<kFrom / 2, kTo>(both);
  } else {
    constexpr int32_t kHalf = kCount / 2;
    const Mask upper = (lane_index() & kFrom) != 0;
    T kept[kHalf];
    OSTINATO_UNROLL
    for (int32_t i = 0; i < kHalf; ++i) {
      const T handed_on = select(upper, values[i], values[i + kHalf]);
      kept[i] = select(upper, values[i + kHalf], values[i]) + shuffle_xor(handed_on, kFrom);
    }
    return spread_sum<kFrom / 2, kTo>(kept);
  }
}

// The word of the arena at which each row of a tile begins, from `own`: that of the row of a lane's own sum.
template <int32_t kRows>
struct TileRows {
  int32_t at[kRows];

  OSTINATO_DEVICE explicit TileRows(const Lane<int32_t>& own) {
    OSTINATO_UNROLL
    for (int32_t r = 0; r < kRows; ++r) at[r] = value_at(own, r * kLanesPerWeight / kRows);
  }
};

// A row of k activations that phase `pack` made, with a scale for each `group` (phases_table.py): the words
// at which its parts begin after the quants, and its length.
struct PackedRow {
  int32_t k, group;

  OSTINATO_DEVICE int32_t sums() const { return k / 4; }
  OSTINATO_DEVICE int32_t scales() const { return sums() + k / 32; }
  OSTINATO_DEVICE int32_t words() const { return (scales() + k / group + 3) / 4 * 4; }
};

OSTINATO_DEVICE inline Lane<float> load_half(const uint8_t* base, const Lane<int32_t>& index) {
  return half_to_float(load(reinterpret_cast<const uint16_t*>(base), index));
}

// Bytes rounded up to a multiple of 16, as planes are (planes.py).
OSTINATO_DEVICE inline int64_t plane_bytes(int64_t bytes) { return (bytes + 15) / 16 * 16; }

// The products of 16 signed bytes each.
OSTINATO_DEVICE inline Lane<int32_t> dot16(const Words4& a, const Words4& b) {
  return dot4(a.w, b.w, dot4(a.z, b.z, dot4(a.y, b.y, dot4(a.x, b.x, Lane<int32_t>(0)))));
}

// Four words of nibbles: the lower or upper ones (shift 0 or 4) as bytes.
OSTINATO_DEVICE inline Words4 nibbles(const Words4& words, int32_t shift) {
  constexpr uint32_t kLow = 0x0f0f0f0f;
  return {words.x >> shift & kLow, words.y >> shift & kLow, words.z >> shift & kLow, words.w >> shift & kLow};
}

}  // namespace ostinato::cuda
