// Q2_K: super-blocks of 16 sub-blocks of 16: w = d sc q - dmin m, q of 2 bits, sc and m of 4. Planes of a
// row: sc (low nibbles) and m (16 bytes a block), q (64; bits 2 r and 2 r + 1 of a half's 32 bytes are those
// of its run r of 32 elements), d and dmin (float16). The lane of part c has elements 32 c .. 32 c + 31.
#pragma once
#include "blocks/super.h"

namespace ostinato::cuda {

struct Q2_K {
  // Bytes of a row at which planes begin.
  OSTINATO_DEVICE static int64_t quant_plane(int64_t blocks) { return 16 * blocks; }
  OSTINATO_DEVICE static int64_t d_plane(int64_t blocks) { return 80 * blocks; }
  OSTINATO_DEVICE static int64_t row_bytes(int32_t k) {
    return d_plane(k / kSuper) + plane_bytes(4 * (k / kSuper));
  }
  OSTINATO_DEVICE static int32_t activation_words(int32_t k) { return super_row(k).words(); }

  OSTINATO_DEVICE static Lane<float> element(const uint8_t* row, int32_t k, const Lane<int32_t>& i) {
    const int32_t blocks = k / kSuper;
    const Lane<int32_t> block = i / kSuper, c = i % kSuper / 32;
    const Lane<int32_t> byte =
        convert<int32_t>(load(row + quant_plane(blocks), block * 64 + c / 4 * 32 + i % 32));
    const Lane<int32_t> both = convert<int32_t>(load(row, i / 16));
    const uint8_t* plane = row + d_plane(blocks);
    const Lane<float> scale = load_half(plane, block * 2) * convert<float>(both & 15);
    const Lane<float> least = load_half(plane, block * 2 + 1) * convert<float>(both >> 4);
    return scale * convert<float>(byte >> (c % 4 * 2) & 3) - least;
  }

  struct Activations : ChunkActivations {
    Lane<int32_t> low_sum, high_sum;

    OSTINATO_DEVICE void read(const uint32_t* arena, int32_t at, int32_t k, const Lane<int32_t>& block,
                              const Lane<int32_t>& part) {
      ChunkActivations::read(arena, at, k, block, part);
      const Lane<int32_t> sums = bits<int32_t>(load(arena, at + super_row(k).sums() + block * kParts + part));
      low_sum = convert<int32_t>(convert<int16_t>(sums));
      high_sum = sums >> 16;
    }
  };

  struct Weights {
    Words4 low, high;
    Lane<int32_t> scales;  // sc and m of sub-blocks 2 c and 2 c + 1, four bits each
    Lane<float> d, dmin;

    OSTINATO_DEVICE void read(const uint8_t* row, int32_t blocks, const Lane<int32_t>& block,
                              const Lane<int32_t>& part) {
      const Lane<uint32_t> run = convert<uint32_t>(part % 4 * 2);
      const Lane<int32_t> quants = block * 4 + part / 4 * 2;
      low = pairs(load_words4(row + quant_plane(blocks), quants), run);
      high = pairs(load_words4(row + quant_plane(blocks), quants + 1), run);
      scales = convert<int32_t>(load(reinterpret_cast<const uint16_t*>(row), block * kParts + part));
      d = load_half(row + d_plane(blocks), block * 2);
      dmin = load_half(row + d_plane(blocks), block * 2 + 1);
    }
  };

  // d S - dmin M of a super-block (sums.md).
  template <int32_t kRows>
  OSTINATO_DEVICE static Lane<float> term(const Weights& w, const Activations (&x)[kRows],
                                          const Lane<int32_t>&) {
    Lane<int32_t> offset[kRows];
    OSTINATO_UNROLL
    for (int32_t r = 0; r < kRows; ++r) {
      offset[r] = (w.scales >> 4 & 15) * x[r].low_sum + (w.scales >> 12 & 15) * x[r].high_sum;
    }
    const Lane<int32_t> scaled = sum_scaled(w.low, w.scales & 15, w.high, w.scales >> 8 & 15, x);
    return fma(w.d, convert<float>(scaled), -(w.dmin * convert<float>(sum_parts(offset))));
  }

  template <int32_t kRows>
  OSTINATO_SHARED_FUNCTION static Lane<float> dot(WeightRows weights, const uint32_t* arena,
                                                  Lane<int32_t> own, int32_t k) {
    return dot_super<Q2_K, kRows>(weights, arena, own, k);
  }
};

}  // namespace ostinato::cuda
