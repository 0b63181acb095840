// IQ4_NL: blocks of 32 codes of four bits with one scale: w = d v, v by a table. Planes of a row: codes (16
// bytes a block: elements 0 .. 15 are the low nibbles), d (float16).
#pragma once
#include "blocks/small.h"

namespace ostinato::cuda {

struct IQ4_NL {
  static constexpr bool kMinima = false;

  OSTINATO_DEVICE static int64_t scales(int64_t blocks) { return 16 * blocks; }  // byte of the plane
  OSTINATO_DEVICE static int64_t row_bytes(int32_t k) {
    return scales(k / kSmall) + plane_bytes(2 * (k / kSmall));
  }
  OSTINATO_DEVICE static int32_t activation_words(int32_t k) { return small_row(k).words(); }

  OSTINATO_DEVICE static Lane<float> element(const uint8_t* row, int32_t k, const Lane<int32_t>& i) {
    const Lane<int32_t> value = meaning(nibble_at(row, i), kIQ4Codes);
    return load_half(row + scales(k / kSmall), i / kSmall) * convert<float>(value);
  }

  OSTINATO_DEVICE static SmallBlock read(const uint8_t* row, int32_t blocks, const Lane<int32_t>& block) {
    SmallBlock out;
    look_up(load_words4(row, block), kIQ4Codes, out.low, out.high);
    out.d = load_half(row + scales(blocks), block);
    out.m = 0.0f;
    return out;
  }

  template <int32_t kRows>
  OSTINATO_SHARED_FUNCTION static Lane<float> dot(WeightRows weights, const uint32_t* arena,
                                                  Lane<int32_t> own, int32_t k) {
    return dot_small<IQ4_NL, kRows>(weights, arena, own, k);
  }
};

}  // namespace ostinato::cuda
