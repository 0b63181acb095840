// One row of packed weights -> floats; shared by all instruction levels.
#pragma once
#include "cpu/kernels.h"

namespace ostinato::cpu {

void dequantize(TensorType type, const uint8_t* row, int64_t k, float* out);

}  // namespace ostinato::cpu
