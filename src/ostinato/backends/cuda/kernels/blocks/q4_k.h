// Q4_K: super-blocks of 8 sub-blocks of 32: w = d sc q - dmin m, q of 4 bits, sc and m of 6. A row is its
// 144-byte blocks: d, dmin (float16), 12 bytes of sc and m, 128 bytes of q.
//
// Bytes 32 p .. of q hold sub-block 2 p in their low nibbles and 2 p + 1 in their high ones; the lane of part
// c has 16 of these bytes: p = c / 2, first or second half by c % 2. It also has all of sub-block c's m.
#pragma once
#include "blocks/super.h"

namespace ostinato::cuda {

struct Q4_K {
  static constexpr int32_t kBytes = block_shape(TensorType::kQ4_K).bytes;
  static constexpr int32_t kWords4 = kBytes / 16;  // the first of them holds d, dmin and scales

  OSTINATO_DEVICE static int64_t row_bytes(int32_t k) { return static_cast<int64_t>(k / kSuper) * kBytes; }
  OSTINATO_DEVICE static int32_t activation_words(int32_t k) { return super_row(k).words(); }

  // The 6-bit numbers of sub-blocks j and j + 1 in the two low bytes: `low` holds those of sub-blocks 0 .. 3
  // in six bits of each byte and the top two bits of 4 .. 7, `high` the low four bits of 4 .. 7 in each byte.
  OSTINATO_DEVICE static Lane<uint32_t> six_bits(const Lane<uint32_t>& low, const Lane<uint32_t>& high,
                                                 const Lane<int32_t>& j) {
    const Lane<uint32_t> shift = convert<uint32_t>(j % 4 * 8);
    const Lane<uint32_t> upper = (high >> shift & 0x0f0fu) | (low >> shift >> 2 & 0x3030u);
    return select(j < 4, low >> shift & 0x3f3fu, upper);
  }

  OSTINATO_DEVICE static Lane<float> element(const uint8_t* row, int32_t, const Lane<int32_t>& i) {
    const Lane<int32_t> block = i / kSuper, sub = i % kSuper / 32, byte = 16 + sub / 2 * 32 + i % 32;
    const Lane<int32_t> pair = convert<int32_t>(load(row, block * kBytes + byte));
    return value(load_words4(row, block * kWords4), sub, (pair >> (sub % 2 * 4)) & 15);
  }

  // What q stands for in sub-block `sub` of the block with such a header.
  OSTINATO_DEVICE static Lane<float> value(const Words4& header, const Lane<int32_t>& sub,
                                           const Lane<int32_t>& quant) {
    const Lane<uint32_t> scale = six_bits(header.y, header.w, sub) & 0xffu;
    const Lane<uint32_t> least = six_bits(header.z, header.w >> 4, sub) & 0xffu;
    const Lane<float> d = half_to_float(convert<uint16_t>(header.x));
    const Lane<float> dmin = half_to_float(convert<uint16_t>(header.x >> 16));
    return d * convert<float>(scale) * convert<float>(quant) - dmin * convert<float>(least);
  }

  struct Activations {
    Words4 low, high;   // 16 elements of sub-block 2 p, and of 2 p + 1
    Lane<int32_t> sum;  // of sub-block c

    OSTINATO_DEVICE void read(const uint32_t* arena, int32_t at, int32_t k, const Lane<int32_t>& block,
                              const Lane<int32_t>& part) {
      const Lane<int32_t> index = at / 4 + block * (kSuper / 16) + part / 2 * 4 + part % 2;
      low = load_words4(arena, index);
      high = load_words4(arena, index + 2);
      const Lane<int32_t> sums = bits<int32_t>(load(arena, at + super_row(k).sums() + block * kParts + part));
      sum = convert<int32_t>(convert<int16_t>(sums)) + (sums >> 16);
    }
  };

  struct Weights {
    Words4 header, quants;

    OSTINATO_DEVICE void read(const uint8_t* row, int32_t, const Lane<int32_t>& block,
                              const Lane<int32_t>& part) {
      header = load_words4(row, block * kWords4);
      quants = load_words4(row, block * kWords4 + 1 + part);
    }
  };

  template <int32_t kRows>
  OSTINATO_DEVICE static Lane<float> term(const Weights& w, const Activations (&x)[kRows],
                                          const Lane<int32_t>& part) {
    return term_of(w.header, nibbles(w.quants, 0), nibbles(w.quants, 4), x, part);
  }

  // d S - dmin M of a super-block (sums.md), from q of sub-blocks 2 p (`low`) and 2 p + 1.
  template <int32_t kRows>
  OSTINATO_DEVICE static Lane<float> term_of(const Words4& header, const Words4& low, const Words4& high,
                                             const Activations (&x)[kRows], const Lane<int32_t>& part) {
    const Lane<uint32_t> scales = six_bits(header.y, header.w, part / 2 * 2);
    const Lane<int32_t> least = convert<int32_t>(six_bits(header.z, header.w >> 4, part) & 0xffu);
    const Lane<int32_t> scaled =
        sum_scaled(low, convert<int32_t>(scales & 0xffu), high, convert<int32_t>(scales >> 8), x);
    Lane<int32_t> offset[kRows];
    OSTINATO_UNROLL
    for (int32_t r = 0; r < kRows; ++r) offset[r] = least * x[r].sum;
    const Lane<float> d = half_to_float(convert<uint16_t>(header.x));
    const Lane<float> dmin = half_to_float(convert<uint16_t>(header.x >> 16));
    return fma(d, convert<float>(scaled), -(dmin * convert<float>(sum_parts(offset))));
  }

  template <int32_t kRows>
  OSTINATO_SHARED_FUNCTION static Lane<float> dot(WeightRows weights, const uint32_t* arena,
                                                  Lane<int32_t> own, int32_t k) {
    return dot_super<Q4_K, kRows>(weights, arena, own, k);
  }
};

}  // namespace ostinato::cuda
