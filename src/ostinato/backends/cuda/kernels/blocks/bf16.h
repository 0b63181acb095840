// BF16 weights: the upper halves of floats.
#pragma once
#include "blocks/floats.h"

namespace ostinato::cuda {

struct BF16 {
  static constexpr int32_t kChunk = 8;  // elements in 16 bytes

  OSTINATO_DEVICE static int64_t row_bytes(int32_t k) { return plane_bytes(2 * static_cast<int64_t>(k)); }
  OSTINATO_DEVICE static int32_t activation_words(int32_t k) { return k; }

  OSTINATO_DEVICE static void unpack(const Words4& words, Lane<float> (&out)[kChunk]) {
    const Lane<uint32_t> pairs[4] = {words.x, words.y, words.z, words.w};
    OSTINATO_UNROLL
    for (int32_t j = 0; j < 4; ++j) {
      out[2 * j] = bits<float>(pairs[j] << 16);
      out[2 * j + 1] = bits<float>(pairs[j] & 0xffff0000u);
    }
  }

  OSTINATO_DEVICE static Lane<float> element(const uint8_t* row, int32_t, const Lane<int32_t>& i) {
    return bits<float>(convert<uint32_t>(load(reinterpret_cast<const uint16_t*>(row), i)) << 16);
  }

  template <int32_t kRows>
  OSTINATO_SHARED_FUNCTION static Lane<float> dot(WeightRows weights, const uint32_t* arena,
                                                  Lane<int32_t> own, int32_t k) {
    return dot_floats<BF16, kRows>(weights, arena, own, k);
  }
};

}  // namespace ostinato::cuda
