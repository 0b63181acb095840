// Encodes runs of values on several threads.
#pragma once
#include <cstdint>

#include "quantize/encoders.h"

namespace ostinato::quantize {

// Values as they are stored: F32, F16 or BF16, at any address.
struct Source {
  TensorType type;
  const uint8_t* data;
};

constexpr bool readable(TensorType type) {
  return type == TensorType::kF32 || type == TensorType::kF16 || type == TensorType::kBF16;
}

const Encoder* find_encoder(const Level& level, TensorType type);

// Encodes `count` values, whole blocks, to `out`. Every kChunk values are encoded by themselves, so that the
// bytes do not depend on `threads`. Returns -1, or the first value of the first block that could not be
// encoded: it holds a value that is not finite or too large; `out` is then incomplete.
int64_t encode(const Source& source, int64_t count, const Encoder& encoder, int threads, uint8_t* out);

}  // namespace ostinato::quantize
