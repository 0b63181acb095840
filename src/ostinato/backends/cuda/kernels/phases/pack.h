// pack: rows quantised to int8 for linears on quantised weights, by the rules of sums.md.
//
// A warp takes 256 elements, a lane 8 of them; 32 or 4 lanes share a scale.
#pragma once
#include "blocks/tile.h"
#include "machine.h"

namespace ostinato::cuda {

constexpr int32_t kPackLane = 8, kPackPiece = kLanes * kPackLane;  // elements

// Eight elements and what all of their group share.
struct PackedEight {
  Lane<int32_t> quants[kPackLane];
  Lane<float> scale;

  OSTINATO_DEVICE PackedEight(const Lane<float> (&x)[kPackLane], int32_t group) {
    constexpr uint32_t kMagnitude = 0x7fffffff, kInfinity = 0x7f800000, kNoNumber = 0x7fc00000;
    Lane<uint32_t> pattern = 0u;  // of the largest magnitude; a NaN's is above infinity's
    OSTINATO_UNROLL
    for (const Lane<float>& value : x) pattern = maximum(pattern, bits<uint32_t>(value) & kMagnitude);
    for (int32_t distance = group / kPackLane / 2; distance > 0; distance /= 2) {
      pattern = maximum(pattern, shuffle_xor(pattern, distance));
    }
    const Lane<float> largest = bits<float>(pattern);
    const Mask finite = pattern < kInfinity, usable = finite && largest >= 0x1p-120f;
    scale = select(finite, select(usable, largest / 127.0f, 0.0f), bits<float>(kNoNumber));
    const Lane<float> inverse = select(usable, 127.0f / largest, 0.0f);
    OSTINATO_UNROLL
    for (int32_t j = 0; j < kPackLane; ++j) {
      quants[j] = convert<int32_t>(select(usable, rint(x[j] * inverse), 0.0f));
    }
  }

  // Four of them as bytes of a word, from element `first`.
  OSTINATO_DEVICE Lane<uint32_t> word(int32_t first) const {
    Lane<uint32_t> out = 0u;
    OSTINATO_UNROLL
    for (int32_t j = 0; j < 4; ++j) out = out | (convert<uint32_t>(quants[first + j]) & 0xffu) << (8 * j);
    return out;
  }

  // The sums over the two 16s of a 32, in all of its four lanes.
  OSTINATO_DEVICE Lane<uint32_t> sums() const {
    Lane<int32_t> sum = 0;
    OSTINATO_UNROLL
    for (const Lane<int32_t>& quant : quants) sum = sum + quant;
    sum = sum + shuffle_xor(sum, 1);
    const Lane<int32_t> other = shuffle_xor(sum, 2);
    const Mask upper = (lane_index() & 2) != 0;
    const Lane<uint32_t> low = convert<uint32_t>(select(upper, other, sum));
    return (low & 0xffffu) | convert<uint32_t>(select(upper, sum, other)) << 16;
  }
};

// Elements first .. first + 256 of a row of `row.k`.
OSTINATO_DEVICE inline void pack_piece(const float* x, uint32_t* out, const PackedRow& row, int32_t first) {
  const Lane<int32_t> element = first + lane_index() * kPackLane;
  const Mask inside = element < row.k;
  Lane<float> values[kPackLane];
  OSTINATO_UNROLL
  for (int32_t j = 0; j < kPackLane; j += 4) {
    const Words4 words = load_words4(x, select(inside, element + j, 0) / 4);
    values[j] = bits<float>(words.x);
    values[j + 1] = bits<float>(words.y);
    values[j + 2] = bits<float>(words.z);
    values[j + 3] = bits<float>(words.w);
  }
  const PackedEight packed(values, row.group);
  store_where(inside, out, element / 4, packed.word(0));
  store_where(inside, out, element / 4 + 1, packed.word(4));
  store_where(inside && element % 32 == 0, out, row.sums() + element / 32, packed.sums());
  store_where(inside && element % row.group == 0, out, row.scales() + element / row.group,
              bits<uint32_t>(packed.scale));
}

OSTINATO_DEVICE inline void run(const call::Pack& c, const Machine& m, Work& w) {
  const PackedRow row{c.width, c.group};
  const int32_t pieces = (c.width + kPackPiece - 1) / kPackPiece;
  for (int32_t item = w.warp; item < m.rows(c.axis, c.factor) * pieces; item += w.warps) {
    const int32_t r = item / pieces;
    pack_piece(m.floats(c.x) + r * c.width, m.words(c.out) + r * row.words(), row,
               item % pieces * kPackPiece);
  }
}

}  // namespace ostinato::cuda
