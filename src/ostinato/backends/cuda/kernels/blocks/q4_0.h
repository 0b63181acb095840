// Q4_0: blocks of 32 nibbles with one scale: w = d (q - 8). Planes of a row: q (16 bytes a block: elements
// 0 .. 15 are the low nibbles), d (float16).
#pragma once
#include "blocks/small.h"

namespace ostinato::cuda {

struct Q4_0 {
  static constexpr bool kMinima = false;

  OSTINATO_DEVICE static int64_t scales(int64_t blocks) { return 16 * blocks; }  // byte of the plane
  OSTINATO_DEVICE static int64_t row_bytes(int32_t k) {
    return scales(k / kSmall) + plane_bytes(2 * (k / kSmall));
  }
  OSTINATO_DEVICE static int32_t activation_words(int32_t k) { return small_row(k).words(); }

  OSTINATO_DEVICE static Lane<float> element(const uint8_t* row, int32_t k, const Lane<int32_t>& i) {
    return load_half(row + scales(k / kSmall), i / kSmall) * convert<float>(nibble_at(row, i) - 8);
  }

  OSTINATO_DEVICE static SmallBlock read(const uint8_t* row, int32_t blocks, const Lane<int32_t>& block) {
    const Words4 quants = load_words4(row, block);
    const Lane<float> d = load_half(row + scales(blocks), block);
    return {centred<8>(nibbles(quants, 0)), centred<8>(nibbles(quants, 4)), d, 0.0f};
  }

  template <int32_t kRows>
  OSTINATO_SHARED_FUNCTION static Lane<float> dot(WeightRows weights, const uint32_t* arena,
                                                  Lane<int32_t> own, int32_t k) {
    return dot_small<Q4_0, kRows>(weights, arena, own, k);
  }
};

}  // namespace ostinato::cuda
