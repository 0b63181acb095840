// Q5_1: blocks of 32 with a scale and a minimum: w = d q + m, q of 5 bits. Planes of a row: the low four bits
// of q (16 bytes a block: elements 0 .. 15 are the low nibbles), the fifth ones (4 bytes), d and m (float16).
#pragma once
#include "blocks/small.h"

namespace ostinato::cuda {

struct Q5_1 {
  static constexpr bool kMinima = true;

  // Bytes of a row at which planes begin.
  OSTINATO_DEVICE static int64_t fifths(int64_t blocks) { return 16 * blocks; }
  OSTINATO_DEVICE static int64_t scales(int64_t blocks) { return fifths(blocks) + plane_bytes(4 * blocks); }
  OSTINATO_DEVICE static int64_t row_bytes(int32_t k) {
    return scales(k / kSmall) + plane_bytes(4 * (k / kSmall));
  }

  // q of element i.
  OSTINATO_DEVICE static Lane<int32_t> quant(const uint8_t* row, int32_t k, const Lane<int32_t>& i) {
    const Lane<int32_t> byte = convert<int32_t>(load(row + fifths(k / kSmall), i / 8));
    return nibble_at(row, i) | (byte >> (i % 8) & 1) << 4;
  }
  OSTINATO_DEVICE static int32_t activation_words(int32_t k) { return small_row(k).words(); }

  OSTINATO_DEVICE static Lane<float> element(const uint8_t* row, int32_t k, const Lane<int32_t>& i) {
    const uint8_t* plane = row + scales(k / kSmall);
    const Lane<int32_t> block = i / kSmall;
    return load_half(plane, block * 2) * convert<float>(quant(row, k, i)) + load_half(plane, block * 2 + 1);
  }

  OSTINATO_DEVICE static SmallBlock read(const uint8_t* row, int32_t blocks, const Lane<int32_t>& block) {
    const Words4 quants = load_words4(row, block);
    const Lane<uint32_t> fifth = load(reinterpret_cast<const uint32_t*>(row + fifths(blocks)), block);
    const uint8_t* plane = row + scales(blocks);
    return {with_fifth_bits(nibbles(quants, 0), fifth), with_fifth_bits(nibbles(quants, 4), fifth >> 16),
            load_half(plane, block * 2), load_half(plane, block * 2 + 1)};
  }

  template <int32_t kRows>
  OSTINATO_SHARED_FUNCTION static Lane<float> dot(WeightRows weights, const uint32_t* arena,
                                                  Lane<int32_t> own, int32_t k) {
    return dot_small<Q5_1, kRows>(weights, arena, own, k);
  }
};

}  // namespace ostinato::cuda
