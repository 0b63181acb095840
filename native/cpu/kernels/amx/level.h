// What the sources of the AMX level give each other.
#pragma once
#include "cpu/kernels/amx/tile.h"
#include "cpu/kernels/level.h"

namespace ostinato::cpu::OSTINATO_AMX {

// Weight rows that are expanded at once: a call for prompt rows should have as many.
constexpr int64_t kPromptOutputs = 128;

// Prompt rows of every type but F32.
size_t prompt_row_bytes(int64_t k);
void pack_prompt_row(const float* x, int64_t k, void* out);
void multiply_prompt_rows(TensorType type, WeightRows w, int64_t k, const void* packed, int64_t rows,
                          float* out, int64_t out_stride);

// Generated rows of every type.
Matmul* find_generated(TensorType type);

}  // namespace ostinato::cpu::OSTINATO_AMX
