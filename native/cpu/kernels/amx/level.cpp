// The AMX level: prompt rows in bf16 on tiles, generated rows as at every level. F32 weights are never
// reduced.
#include "cpu/kernels/amx/level.h"

#include "cpu/kernels/table.h"

namespace ostinato::cpu::OSTINATO_AMX {
namespace {

Packing prompt_packing(TensorType type) {
  const Packing form = packing(type);
  return form == Packing::kNone || type == TensorType::kF32 ? form : Packing::kBFloats;
}

size_t prompt_bytes(TensorType type, int64_t k) {
  return prompt_packing(type) == Packing::kBFloats ? prompt_row_bytes(k) : packed_bytes(type, k);
}

void prompt_pack(TensorType type, const float* x, int64_t k, void* out) {
  type == TensorType::kF32 ? pack_floats(x, k, out) : pack_prompt_row(x, k, out);
}

void prompt_matmul(TensorType type, WeightRows w, int64_t k, const void* packed, int64_t rows, float* out,
                   int64_t out_stride) {
  type == TensorType::kF32 ? avx512::level.matmul(type)(w, k, packed, rows, out, out_stride)
                           : multiply_prompt_rows(type, w, k, packed, rows, out, out_stride);
}

void pack_super(const float* x, int64_t k, void* out) { avx512::level.pack_super(x, k, out); }
void pack_blocks(const float* x, int64_t k, void* out) { avx512::level.pack_blocks(x, k, out); }

// Few rows in a block of products would expand the same weights again and again.
constexpr int64_t kPromptRows = 256;

constexpr Arithmetic kPrompt = {prompt_packing, prompt_bytes,   prompt_pack,
                                prompt_matmul,  kPromptOutputs, kPromptRows};

}  // namespace

const Level level = {Isa::kAmx, "amx", pack_super, pack_blocks, find_generated, &kPrompt};

}  // namespace ostinato::cpu::OSTINATO_AMX
