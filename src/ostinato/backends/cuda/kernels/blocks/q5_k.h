// Q5_K: Q4_K with a fifth bit: w = d sc q - dmin m. A row is its 176-byte blocks: d, dmin (float16), 12 bytes
// of sc and m, 32 bytes of fifth bits, 128 bytes of low ones, which parts share as those of Q4_K.
//
// Bit j of byte l of the fifth bits belongs to element l of sub-block j.
#pragma once
#include "blocks/q4_k.h"

namespace ostinato::cuda {

struct Q5_K {
  static constexpr int32_t kBytes = block_shape(TensorType::kQ5_K).bytes;
  static constexpr int32_t kWords4 = kBytes / 16;  // d, dmin and scales; two with fifth bits; the low ones
  using Activations = Q4_K::Activations;

  OSTINATO_DEVICE static int64_t row_bytes(int32_t k) { return static_cast<int64_t>(k / kSuper) * kBytes; }
  OSTINATO_DEVICE static int32_t activation_words(int32_t k) { return super_row(k).words(); }

  OSTINATO_DEVICE static Lane<float> element(const uint8_t* row, int32_t, const Lane<int32_t>& i) {
    const Lane<int32_t> block = i / kSuper, sub = i % kSuper / 32, byte = 48 + sub / 2 * 32 + i % 32;
    const Lane<int32_t> pair = convert<int32_t>(load(row, block * kBytes + byte));
    const Lane<int32_t> fifth = convert<int32_t>(load(row, block * kBytes + 16 + i % 32));
    const Lane<int32_t> quant = (pair >> (sub % 2 * 4) & 15) | (fifth >> sub & 1) << 4;
    return Q4_K::value(load_words4(row, block * kWords4), sub, quant);
  }

  struct Weights {
    Words4 header, fifths, quants;

    OSTINATO_DEVICE void read(const uint8_t* row, int32_t, const Lane<int32_t>& block,
                              const Lane<int32_t>& part) {
      header = load_words4(row, block * kWords4);
      fifths = load_words4(row, block * kWords4 + 1 + part % 2);
      quants = load_words4(row, block * kWords4 + 3 + part);
    }
  };

  template <int32_t kRows>
  OSTINATO_DEVICE static Lane<float> term(const Weights& w, const Activations (&x)[kRows],
                                          const Lane<int32_t>& part) {
    constexpr uint32_t kBit = 0x01010101;
    const Lane<uint32_t> sub = convert<uint32_t>(part / 2 * 2);
    const Words4 low = with_upper<4>(nibbles(w.quants, 0), w.fifths, kBit, sub);
    const Words4 high = with_upper<4>(nibbles(w.quants, 4), w.fifths, kBit, sub + 1u);
    return Q4_K::term_of(w.header, low, high, x, part);
  }

  template <int32_t kRows>
  OSTINATO_SHARED_FUNCTION static Lane<float> dot(WeightRows weights, const uint32_t* arena,
                                                  Lane<int32_t> own, int32_t k) {
    return dot_super<Q5_K, kRows>(weights, arena, own, k);
  }
};

}  // namespace ostinato::cuda
