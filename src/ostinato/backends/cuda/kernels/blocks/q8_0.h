// Q8_0: blocks of 32 signed bytes with one scale d. Planes of a row: quants (32 bytes a block), d (float16).
//
// A lane takes whole blocks l, l + 32, ...; a block is one exact integer sum and one float term (sums.md).
#pragma once
#include "blocks/tile.h"

namespace ostinato::cuda {

struct Q8_0 {
  static constexpr int32_t kBlock = block_shape(TensorType::kQ8_0).elements;
  static constexpr int32_t kWords4 = kBlock / 16;  // 16-byte words of quants in a block

  OSTINATO_DEVICE static int64_t scales(int32_t k) { return k; }  // byte of a row at which the plane begins
  OSTINATO_DEVICE static int64_t row_bytes(int32_t k) { return scales(k) + plane_bytes(2 * (k / kBlock)); }
  OSTINATO_DEVICE static int32_t activation_words(int32_t k) { return PackedRow{k, kBlock}.words(); }

  OSTINATO_DEVICE static Lane<float> element(const uint8_t* row, int32_t k, const Lane<int32_t>& i) {
    const Lane<int8_t> quant = load(reinterpret_cast<const int8_t*>(row), i);
    return load_half(row + scales(k), i / kBlock) * convert<float>(quant);
  }

  // What a lane holds of an activation row: one block.
  struct Activations {
    Words4 quants[kWords4];
    Lane<float> scale;

    OSTINATO_DEVICE void read(const uint32_t* arena, int32_t at, int32_t k, const Lane<int32_t>& block) {
      OSTINATO_UNROLL
      for (int32_t j = 0; j < kWords4; ++j) quants[j] = load_words4(arena, at / 4 + block * kWords4 + j);
      scale = bits<float>(load(arena, at + PackedRow{k, kBlock}.scales() + block));
    }
  };

  // As much of a weight row; a block beyond the row's end has scale 0.
  struct Weights {
    Words4 quants[kWords4];
    Lane<float> scale;

    OSTINATO_DEVICE void read(const uint8_t* row, int32_t k, const Lane<int32_t>& block, const Mask& inside) {
      OSTINATO_UNROLL
      for (int32_t j = 0; j < kWords4; ++j) quants[j] = load_words4(row, block * kWords4 + j);
      scale = select(inside, load_half(row + scales(k), block), 0.0f);
    }

    OSTINATO_DEVICE Lane<float> add(const Activations& x, const Lane<float>& sum) const {
      const Lane<int32_t> exact = dot16(quants[0], x.quants[0]) + dot16(quants[1], x.quants[1]);
      return fma(scale * x.scale, convert<float>(exact), sum);
    }
  };

  template <int32_t kRows>
  OSTINATO_SHARED_FUNCTION static Lane<float> dot(WeightRows weights, const uint32_t* arena,
                                                  Lane<int32_t> own, int32_t k) {
    const TileRows<kRows> rows(own);
    const int32_t blocks = k / kBlock;
    Lane<float> sums[kTileWeights * kRows];
    OSTINATO_UNROLL
    for (Lane<float>& sum : sums) sum = 0.0f;
    for (int32_t first = 0; first < blocks; first += kLanes) {
      const Lane<int32_t> wanted = first + lane_index();
      const Mask inside = wanted < blocks;
      const Lane<int32_t> block = select(inside, wanted, blocks - 1);
      Weights w[kTileWeights];
      OSTINATO_UNROLL
      for (int32_t i = 0; i < kTileWeights; ++i) w[i].read(weights.row(i), k, block, inside);
      OSTINATO_UNROLL
      for (int32_t r = 0; r < kRows; ++r) {
        Activations x;
        x.read(arena, rows.at[r], k, block);
        OSTINATO_UNROLL
        for (int32_t i = 0; i < kTileWeights; ++i) sums[i * kRows + r] = w[i].add(x, sums[i * kRows + r]);
      }
    }
    return spread_sum<kLanes / 2, 1>(sums);
  }
};

}  // namespace ostinato::cuda
