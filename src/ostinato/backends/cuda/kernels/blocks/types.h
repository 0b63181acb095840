// Block formats by TensorType: what linears, experts and embed can read. OSTINATO_BLOCK_FORMATS (tables.h) is
// the list: of all formats, or of those that a model has.
//
// A format has row_bytes(k), activation_words(k) (the words of an activation row as the format takes it:
// packed, or k floats), element(row, k, i) (elements i of a row) and dot<kRows>(...) (tile.h).
#pragma once
#include "blocks/bf16.h"
#include "blocks/f16.h"
#include "blocks/f32.h"
#include "blocks/iq4_nl.h"
#include "blocks/iq4_xs.h"
#include "blocks/mxfp4.h"
#include "blocks/q2_k.h"
#include "blocks/q3_k.h"
#include "blocks/q4_0.h"
#include "blocks/q4_1.h"
#include "blocks/q4_k.h"
#include "blocks/q5_0.h"
#include "blocks/q5_1.h"
#include "blocks/q5_k.h"
#include "blocks/q6_k.h"
#include "blocks/q8_0.h"

namespace ostinato::cuda {

#ifndef __CUDACC__  // on the host a format's dot products are an object file of their own: host/block.cpp
#define OSTINATO_DECLARE(FORMAT)                                                                   \
  extern template Lane<float> FORMAT::dot<1>(WeightRows, const uint32_t*, Lane<int32_t>, int32_t); \
  extern template Lane<float> FORMAT::dot<2>(WeightRows, const uint32_t*, Lane<int32_t>, int32_t); \
  extern template Lane<float> FORMAT::dot<4>(WeightRows, const uint32_t*, Lane<int32_t>, int32_t); \
  extern template Lane<float> FORMAT::dot<kTileRows>(WeightRows, const uint32_t*, Lane<int32_t>, int32_t);
OSTINATO_BLOCK_FORMATS(OSTINATO_DECLARE)
#undef OSTINATO_DECLARE
#endif

// The weights of one call: all rows of one type and length. Types are those that lowering let through.
struct Weight {
  const uint8_t* data;
  TensorType type;
  int32_t k;
  int64_t row_bytes;

  OSTINATO_DEVICE Weight(const uint8_t* data, int32_t type, int32_t k)
      : data(data), type(static_cast<TensorType>(type)), k(k), row_bytes(0) {
    switch (this->type) {
#define OSTINATO_CASE(FORMAT)         \
  case TensorType::k##FORMAT:         \
    row_bytes = FORMAT::row_bytes(k); \
    break;
      OSTINATO_BLOCK_FORMATS(OSTINATO_CASE)
#undef OSTINATO_CASE
      default:
        break;
    }
  }

  // The same type and length, elsewhere.
  OSTINATO_DEVICE Weight at(const uint8_t* elsewhere) const {
    Weight out = *this;
    out.data = elsewhere;
    return out;
  }

  OSTINATO_DEVICE const uint8_t* row(int64_t i) const { return data + i * row_bytes; }

  // Words between activation rows.
  OSTINATO_DEVICE int32_t activation_words() const {
    switch (type) {
#define OSTINATO_CASE(FORMAT) \
  case TensorType::k##FORMAT: \
    return FORMAT::activation_words(k);
      OSTINATO_BLOCK_FORMATS(OSTINATO_CASE)
#undef OSTINATO_CASE
      default:
        return 0;
    }
  }

  // Elements `at` of row i.
  OSTINATO_DEVICE Lane<float> elements(int64_t i, const Lane<int32_t>& at) const {
    switch (type) {
#define OSTINATO_CASE(FORMAT) \
  case TensorType::k##FORMAT: \
    return FORMAT::element(row(i), k, at);
      OSTINATO_BLOCK_FORMATS(OSTINATO_CASE)
#undef OSTINATO_CASE
      default:
        return 0.0f;
    }
  }

  // Rows first .. first + count (at most kTileWeights) times `rows` activation rows, which begin at `own`
  // (tile.h).
  OSTINATO_DEVICE Lane<float> dot(int64_t first, int32_t count, int32_t rows, const uint32_t* arena,
                                  const Lane<int32_t>& own) const {
    const WeightRows weights{row(first), row_bytes, count < kTileWeights ? count : kTileWeights};
    switch (type) {
#define OSTINATO_CASE(FORMAT) \
  case TensorType::k##FORMAT: \
    return by_rows<FORMAT>(weights, rows, arena, own);
      OSTINATO_BLOCK_FORMATS(OSTINATO_CASE)
#undef OSTINATO_CASE
      default:
        return 0.0f;
    }
  }

 private:
  template <class Format>
  OSTINATO_DEVICE Lane<float> by_rows(const WeightRows& weights, int32_t rows, const uint32_t* arena,
                                      const Lane<int32_t>& own) const {
    switch (rows) {
      case 1:
        return Format::template dot<1>(weights, arena, own, k);
      case 2:
        return Format::template dot<2>(weights, arena, own, k);
      case 4:
        return Format::template dot<4>(weights, arena, own, k);
      default:
        return Format::template dot<kTileRows>(weights, arena, own, k);
    }
  }
};

}  // namespace ostinato::cuda
