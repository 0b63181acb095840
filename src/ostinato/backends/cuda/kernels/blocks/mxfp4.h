// MXFP4: blocks of 32 codes of four bits with an exponent: w = 2^(e - 128) v, v by a table. Planes of a row:
// codes (16 bytes a block: elements 0 .. 15 are the low nibbles), e (a byte).
#pragma once
#include "blocks/small.h"

namespace ostinato::cuda {

struct MXFP4 {
  static constexpr bool kMinima = false;

  OSTINATO_DEVICE static int64_t scales(int64_t blocks) { return 16 * blocks; }  // byte of the plane
  OSTINATO_DEVICE static int64_t row_bytes(int32_t k) { return scales(k / kSmall) + plane_bytes(k / kSmall); }

  // 2^(e - 128) of a block; the two smallest are subnormal.
  OSTINATO_DEVICE static Lane<float> power_of_two(const uint8_t* row, int32_t blocks,
                                                  const Lane<int32_t>& block) {
    const Lane<uint32_t> e = convert<uint32_t>(load(row + scales(blocks), block));
    return bits<float>(select(e < 2u, 0x00200000u << (e & 1u), (e - 1u) << 23));
  }
  OSTINATO_DEVICE static int32_t activation_words(int32_t k) { return small_row(k).words(); }

  OSTINATO_DEVICE static Lane<float> element(const uint8_t* row, int32_t k, const Lane<int32_t>& i) {
    const Lane<int32_t> value = meaning(nibble_at(row, i), kFP4Codes);
    return power_of_two(row, k / kSmall, i / kSmall) * convert<float>(value);
  }

  OSTINATO_DEVICE static SmallBlock read(const uint8_t* row, int32_t blocks, const Lane<int32_t>& block) {
    SmallBlock out;
    look_up(load_words4(row, block), kFP4Codes, out.low, out.high);
    out.d = power_of_two(row, blocks, block);
    out.m = 0.0f;
    return out;
  }

  template <int32_t kRows>
  OSTINATO_SHARED_FUNCTION static Lane<float> dot(WeightRows weights, const uint32_t* arena,
                                                  Lane<int32_t> own, int32_t k) {
    return dot_small<MXFP4, kRows>(weights, arena, own, k);
  }
};

}  // namespace ostinato::cuda
