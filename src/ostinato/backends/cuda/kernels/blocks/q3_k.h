// Q3_K: super-blocks of 16 sub-blocks of 16: w = d (sc - 32) (q - 4). Planes of a row: third bits of q (32
// bytes a block; bit c of byte l is that of element 32 c + l), low two bits (64; bits 2 r and 2 r + 1 of a
// half's 32 bytes are those of its run r of 32 elements), sc (12), d (float16). The lane of part c has
// elements 32 c .. 32 c + 31.
//
// The low nibbles of the first eight bytes of sc are the low four bits of sc 0 .. 7, the high ones of 8 ..
// 15; byte 8 + j % 4 has the top two of sc j from bit j / 4 * 2 on.
#pragma once
#include "blocks/super.h"

namespace ostinato::cuda {

struct Q3_K {
  using Activations = ChunkActivations;

  // Bytes of a row at which planes begin.
  OSTINATO_DEVICE static int64_t low_plane(int64_t blocks) { return 32 * blocks; }
  OSTINATO_DEVICE static int64_t scale_plane(int64_t blocks) { return 96 * blocks; }
  OSTINATO_DEVICE static int64_t d_plane(int64_t blocks) {
    return scale_plane(blocks) + plane_bytes(12 * blocks);
  }
  OSTINATO_DEVICE static int64_t row_bytes(int32_t k) {
    return d_plane(k / kSuper) + plane_bytes(2 * (k / kSuper));
  }
  OSTINATO_DEVICE static int32_t activation_words(int32_t k) { return super_row(k).words(); }

  // sc - 32 of sub-blocks 2 c and 2 c + 1.
  struct Scales {
    Lane<int32_t> low, high;

    OSTINATO_DEVICE void read(const uint8_t* row, int32_t blocks, const Lane<int32_t>& block,
                              const Lane<int32_t>& c) {
      const uint16_t* plane = reinterpret_cast<const uint16_t*>(row + scale_plane(blocks));
      const Lane<int32_t> fours = convert<int32_t>(load(plane, block * 6 + c % 4)) >> (c / 4 * 4);
      const Lane<int32_t> tops = convert<int32_t>(load(plane, block * 6 + 4 + c % 2)) >> (c / 2 * 2);
      low = ((fours & 15) | (tops & 3) << 4) - 32;
      high = ((fours >> 8 & 15) | (tops >> 8 & 3) << 4) - 32;
    }
  };

  OSTINATO_DEVICE static Lane<float> element(const uint8_t* row, int32_t k, const Lane<int32_t>& i) {
    const int32_t blocks = k / kSuper;
    const Lane<int32_t> block = i / kSuper, c = i % kSuper / 32, l = i % 32;
    const Lane<int32_t> low =
        convert<int32_t>(load(row + low_plane(blocks), block * 64 + c / 4 * 32 + l)) >> (c % 4 * 2);
    const Lane<int32_t> third = convert<int32_t>(load(row, block * 32 + l)) >> c;
    Scales scales;
    scales.read(row, blocks, block, c);
    const Lane<int32_t> scale = select(l < 16, scales.low, scales.high);
    const Lane<float> d = load_half(row + d_plane(blocks), block);
    return d * convert<float>(scale) * convert<float>(((low & 3) | (third & 1) << 2) - 4);
  }

  struct Weights {
    Words4 low, high;
    Scales scales;
    Lane<float> d;

    OSTINATO_DEVICE void read(const uint8_t* row, int32_t blocks, const Lane<int32_t>& block,
                              const Lane<int32_t>& part) {
      constexpr uint32_t kBit = 0x01010101;
      const Lane<uint32_t> run = convert<uint32_t>(part % 4 * 2), bit = convert<uint32_t>(part);
      const Lane<int32_t> quants = block * 4 + part / 4 * 2;
      const uint8_t* plane = row + low_plane(blocks);
      low = centred<4>(
          with_upper<2>(pairs(load_words4(plane, quants), run), load_words4(row, block * 2), kBit, bit));
      high = centred<4>(with_upper<2>(pairs(load_words4(plane, quants + 1), run),
                                      load_words4(row, block * 2 + 1), kBit, bit));
      scales.read(row, blocks, block, part);
      d = load_half(row + d_plane(blocks), block);
    }
  };

  // d S of a super-block (sums.md).
  template <int32_t kRows>
  OSTINATO_DEVICE static Lane<float> term(const Weights& w, const Activations (&x)[kRows],
                                          const Lane<int32_t>&) {
    return w.d * convert<float>(sum_scaled(w.low, w.scales.low, w.high, w.scales.high, x));
  }

  template <int32_t kRows>
  OSTINATO_SHARED_FUNCTION static Lane<float> dot(WeightRows weights, const uint32_t* arena,
                                                  Lane<int32_t> own, int32_t k) {
    return dot_super<Q3_K, kRows>(weights, arena, own, k);
  }
};

}  // namespace ostinato::cuda
