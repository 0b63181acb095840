// What an instruction level offers: for each type an encoder of float32 values.
//
// The search for good scales is vectorised across blocks, one (sub-)block a lane, and nothing is contracted
// to fused multiply-adds: each lane does the same arithmetic in the same order whatever the width of a
// vector, so that all levels give the same bytes.
#pragma once
#include <cstdint>

#include "ostinato/tables.h"

namespace ostinato::quantize {

constexpr int kChunk = 4096;  // values that an encoder is given at once: whole blocks of every type

// Encodes `blocks` blocks of `x`; values behind them, up to kChunk, must be readable and finite. Returns how
// many blocks it encoded: the next one has a scale that float16 cannot hold.
using Encode = int (*)(const float* x, int blocks, uint8_t* out);

struct Encoder {
  TensorType type;
  float limit;  // the type holds only values of smaller magnitude
  Encode encode;
};

struct Level {
  const char* name;
  const Encoder* encoders;
  int count;
};

// Levels that this machine runs, the best first.
const Level* const* levels(int* count);

}  // namespace ostinato::quantize
