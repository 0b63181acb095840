// Q4_1: blocks of 32 nibbles with a scale and a minimum: w = d q + m. Planes of a row: q (16 bytes a block:
// elements 0 .. 15 are the low nibbles), then d and m (float16) of each block.
#pragma once
#include "blocks/small.h"

namespace ostinato::cuda {

struct Q4_1 {
  static constexpr bool kMinima = true;

  OSTINATO_DEVICE static int64_t scales(int64_t blocks) { return 16 * blocks; }  // byte of the plane
  OSTINATO_DEVICE static int64_t row_bytes(int32_t k) {
    return scales(k / kSmall) + plane_bytes(4 * (k / kSmall));
  }
  OSTINATO_DEVICE static int32_t activation_words(int32_t k) { return small_row(k).words(); }

  OSTINATO_DEVICE static Lane<float> element(const uint8_t* row, int32_t k, const Lane<int32_t>& i) {
    const uint8_t* plane = row + scales(k / kSmall);
    const Lane<int32_t> block = i / kSmall;
    return load_half(plane, block * 2) * convert<float>(nibble_at(row, i)) + load_half(plane, block * 2 + 1);
  }

  OSTINATO_DEVICE static SmallBlock read(const uint8_t* row, int32_t blocks, const Lane<int32_t>& block) {
    const Words4 quants = load_words4(row, block);
    const uint8_t* plane = row + scales(blocks);
    return {nibbles(quants, 0), nibbles(quants, 4), load_half(plane, block * 2),
            load_half(plane, block * 2 + 1)};
  }

  template <int32_t kRows>
  OSTINATO_SHARED_FUNCTION static Lane<float> dot(WeightRows weights, const uint32_t* arena,
                                                  Lane<int32_t> own, int32_t k) {
    return dot_small<Q4_1, kRows>(weights, arena, own, k);
  }
};

}  // namespace ostinato::cuda
