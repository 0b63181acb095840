// F32 weights: the floats themselves.
#pragma once
#include "blocks/floats.h"

namespace ostinato::cuda {

struct F32 {
  static constexpr int32_t kChunk = 4;  // elements in 16 bytes

  OSTINATO_DEVICE static int64_t row_bytes(int32_t k) { return plane_bytes(4 * static_cast<int64_t>(k)); }
  OSTINATO_DEVICE static int32_t activation_words(int32_t k) { return k; }

  OSTINATO_DEVICE static void unpack(const Words4& words, Lane<float> (&out)[kChunk]) {
    out[0] = bits<float>(words.x);
    out[1] = bits<float>(words.y);
    out[2] = bits<float>(words.z);
    out[3] = bits<float>(words.w);
  }

  OSTINATO_DEVICE static Lane<float> element(const uint8_t* row, int32_t, const Lane<int32_t>& i) {
    return load(reinterpret_cast<const float*>(row), i);
  }

  template <int32_t kRows>
  OSTINATO_SHARED_FUNCTION static Lane<float> dot(WeightRows weights, const uint32_t* arena,
                                                  Lane<int32_t> own, int32_t k) {
    return dot_floats<F32, kRows>(weights, arena, own, k);
  }
};

}  // namespace ostinato::cuda
