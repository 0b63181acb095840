// IQ4_XS: super-blocks of 8 sub-blocks of 32 codes of four bits: w = d (sc - 32) v, v by a table. Planes of a
// row: codes (16 bytes a sub-block: elements 0 .. 15 are the low nibbles); 8 bytes a block: d (float16), the
// top two bits of each sc, the low four. The lane of part c has sub-block c.
#pragma once
#include "blocks/super.h"

namespace ostinato::cuda {

struct IQ4_XS {
  using Activations = ChunkActivations;

  OSTINATO_DEVICE static int64_t headers(int64_t blocks) { return 128 * blocks; }  // byte of the plane
  OSTINATO_DEVICE static int64_t row_bytes(int32_t k) {
    return headers(k / kSuper) + plane_bytes(8 * (k / kSuper));
  }
  OSTINATO_DEVICE static int32_t activation_words(int32_t k) { return super_row(k).words(); }

  struct Header {
    Lane<float> d;
    Lane<int32_t> scale;  // sc - 32 of sub-block j

    OSTINATO_DEVICE void read(const uint8_t* row, int32_t blocks, const Lane<int32_t>& block,
                              const Lane<int32_t>& j) {
      const uint32_t* plane = reinterpret_cast<const uint32_t*>(row + headers(blocks));
      const Lane<uint32_t> first = load(plane, block * 2), low = load(plane, block * 2 + 1);
      d = half_to_float(convert<uint16_t>(first));
      const Lane<uint32_t> top = first >> convert<uint32_t>(16 + 2 * j) & 3u;
      scale = convert<int32_t>((low >> convert<uint32_t>(4 * j) & 15u) | top << 4) - 32;
    }
  };

  OSTINATO_DEVICE static Lane<float> element(const uint8_t* row, int32_t k, const Lane<int32_t>& i) {
    Header header;
    header.read(row, k / kSuper, i / kSuper, i % kSuper / 32);
    return header.d * convert<float>(header.scale) * convert<float>(meaning(nibble_at(row, i), kIQ4Codes));
  }

  struct Weights {
    Header header;
    Words4 codes;

    OSTINATO_DEVICE void read(const uint8_t* row, int32_t blocks, const Lane<int32_t>& block,
                              const Lane<int32_t>& part) {
      header.read(row, blocks, block, part);
      codes = load_words4(row, block * kParts + part);
    }
  };

  // d S of a super-block (sums.md).
  template <int32_t kRows>
  OSTINATO_DEVICE static Lane<float> term(const Weights& w, const Activations (&x)[kRows],
                                          const Lane<int32_t>&) {
    Words4 low, high;
    look_up(w.codes, kIQ4Codes, low, high);
    return w.header.d * convert<float>(sum_scaled(low, w.header.scale, high, w.header.scale, x));
  }

  template <int32_t kRows>
  OSTINATO_SHARED_FUNCTION static Lane<float> dot(WeightRows weights, const uint32_t* arena,
                                                  Lane<int32_t> own, int32_t k) {
    return dot_super<IQ4_XS, kRows>(weights, arena, own, k);
  }
};

}  // namespace ostinato::cuda
