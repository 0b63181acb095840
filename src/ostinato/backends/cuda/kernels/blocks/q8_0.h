// Q8_0: blocks of 32 signed bytes with one scale d. Planes of a row: quants (32 bytes a block), d (float16).
#pragma once
#include "blocks/small.h"

namespace ostinato::cuda {

struct Q8_0 {
  static constexpr bool kMinima = false;

  OSTINATO_DEVICE static int64_t scales(int64_t blocks) { return kSmall * blocks; }  // byte of the plane
  OSTINATO_DEVICE static int64_t row_bytes(int32_t k) {
    return scales(k / kSmall) + plane_bytes(2 * (k / kSmall));
  }
  OSTINATO_DEVICE static int32_t activation_words(int32_t k) { return small_row(k).words(); }

  OSTINATO_DEVICE static Lane<float> element(const uint8_t* row, int32_t k, const Lane<int32_t>& i) {
    const Lane<int8_t> quant = load(reinterpret_cast<const int8_t*>(row), i);
    return load_half(row + scales(k / kSmall), i / kSmall) * convert<float>(quant);
  }

  OSTINATO_DEVICE static SmallBlock read(const uint8_t* row, int32_t blocks, const Lane<int32_t>& block) {
    const Words4 low = load_words4(row, block * 2), high = load_words4(row, block * 2 + 1);
    return {low, high, load_half(row + scales(blocks), block), 0.0f};
  }

  template <int32_t kRows>
  OSTINATO_SHARED_FUNCTION static Lane<float> dot(WeightRows weights, const uint32_t* arena,
                                                  Lane<int32_t> own, int32_t k) {
    return dot_small<Q8_0, kRows>(weights, arena, own, k);
  }
};

}  // namespace ostinato::cuda
