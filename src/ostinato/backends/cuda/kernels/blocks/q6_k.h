// Q6_K: super-blocks of 16 sub-blocks of 16: w = d sc (q - 32), q of 6 bits, sc a signed byte. Planes of a
// row: ql (128 bytes a block), qh (64), sc (16), d (float16).
//
// Each half of 128 elements is four runs of 32. Byte l of the half's 64 ql has the low four bits of run 0
// (low nibble) and 2 (high), byte l + 32 those of 1 and 3; byte l of its 32 qh the top two bits of runs 0
// to 3. The lane of part c has 16 bytes of ql: half c / 4, run (c % 4) / 2 in the low nibbles and that run +
// 2 in the high ones, first or second half of these runs by c % 2: two whole sub-blocks.
#pragma once
#include "blocks/super.h"

namespace ostinato::cuda {

struct Q6_K {
  static constexpr int32_t kLow = 128, kHigh = 64, kScales = 16;  // bytes of a block in each plane

  OSTINATO_DEVICE static int64_t high_plane(int64_t blocks) { return kLow * blocks; }
  OSTINATO_DEVICE static int64_t scale_plane(int64_t blocks) { return (kLow + kHigh) * blocks; }
  OSTINATO_DEVICE static int64_t d_plane(int64_t blocks) { return (kLow + kHigh + kScales) * blocks; }
  OSTINATO_DEVICE static int64_t row_bytes(int32_t k) {
    return d_plane(k / kSuper) + plane_bytes(2 * (k / kSuper));
  }
  OSTINATO_DEVICE static int32_t activation_words(int32_t k) { return super_row(k).words(); }

  OSTINATO_DEVICE static Lane<float> element(const uint8_t* row, int32_t k, const Lane<int32_t>& i) {
    const int32_t blocks = k / kSuper;
    const Lane<int32_t> block = i / kSuper, half = i % kSuper / 128, run = i % 128 / 32, l = i % 32;
    const Lane<int32_t> low = convert<int32_t>(load(row, block * kLow + half * 64 + run % 2 * 32 + l));
    const Lane<int32_t> high =
        convert<int32_t>(load(row + high_plane(blocks), block * kHigh + half * 32 + l));
    const Lane<int32_t> quant = ((low >> (run / 2 * 4)) & 15) | ((high >> (run * 2)) & 3) << 4;
    const int8_t* scales = reinterpret_cast<const int8_t*>(row + scale_plane(blocks));
    const Lane<float> scale = convert<float>(load(scales, i / kScales));
    return load_half(row + d_plane(blocks), block) * scale * convert<float>(quant - 32);
  }

  struct Activations {
    Words4 low, high;  // 16 elements of the run of the low nibbles, and of the high ones

    OSTINATO_DEVICE void read(const uint32_t* arena, int32_t at, int32_t, const Lane<int32_t>& block,
                              const Lane<int32_t>& part) {
      const Lane<int32_t> index = at / 4 + block * (kSuper / 16) + part / 4 * 8 + part % 4;
      low = load_words4(arena, index);
      high = load_words4(arena, index + 4);
    }
  };

  struct Weights {
    Words4 low, high;
    Lane<int32_t> low_scale, high_scale;
    Lane<float> d;

    OSTINATO_DEVICE void read(const uint8_t* row, int32_t blocks, const Lane<int32_t>& block,
                              const Lane<int32_t>& part) {
      low = load_words4(row, block * (kLow / 16) + part);
      high = load_words4(row + high_plane(blocks), block * (kHigh / 16) + part / 4 * 2 + part % 2);
      const int8_t* scales = reinterpret_cast<const int8_t*>(row + scale_plane(blocks));
      const Lane<int32_t> sub = block * kScales + part / 4 * 8 + part % 4;
      low_scale = convert<int32_t>(load(scales, sub));
      high_scale = convert<int32_t>(load(scales, sub + 4));
      d = load_half(row + d_plane(blocks), block);
    }
  };

  // d S of a super-block (sums.md).
  template <int32_t kRows>
  OSTINATO_DEVICE static Lane<float> term(const Weights& w, const Activations (&x)[kRows],
                                          const Lane<int32_t>& part) {
    constexpr uint32_t kPair = 0x03030303;
    const Lane<uint32_t> shift = convert<uint32_t>(part % 4 / 2 * 2);
    const Words4 low = centred<32>(with_upper<4>(nibbles(w.low, 0), w.high, kPair, shift));
    const Words4 high = centred<32>(with_upper<4>(nibbles(w.low, 4), w.high, kPair, shift + 4u));
    return w.d * convert<float>(sum_scaled(low, w.low_scale, high, w.high_scale, x));
  }

  template <int32_t kRows>
  OSTINATO_SHARED_FUNCTION static Lane<float> dot(WeightRows weights, const uint32_t* arena,
                                                  Lane<int32_t> own, int32_t k) {
    return dot_super<Q6_K, kRows>(weights, arena, own, k);
  }
};

}  // namespace ostinato::cuda
