#include "cpu/packed.h"

#include <algorithm>

namespace ostinato::cpu {

Forms forms(const Kernels& kernels, TensorType type) {
  return {kernels.prompt.packing(type), kernels.generated.packing(type)};
}

size_t packed_size(const Kernels& kernels, const Weight& weight, int64_t rows) {
  return rows * std::max(kernels.prompt.packed_bytes(weight.type, weight.k),
                         kernels.generated.packed_bytes(weight.type, weight.k));
}

PackedRows::PackedRows(const Kernels& kernels, const Weight& weight, int64_t prompt, uint8_t* data)
    : kernels_(kernels),
      weight_(weight),
      prompt_(prompt),
      prompt_bytes_(static_cast<int64_t>(kernels.prompt.packed_bytes(weight.type, weight.k))),
      generated_bytes_(static_cast<int64_t>(kernels.generated.packed_bytes(weight.type, weight.k))),
      data_(data) {}

int64_t PackedRows::bytes(int64_t rows) const {
  return std::min(rows, prompt_) * prompt_bytes_ + std::max<int64_t>(rows - prompt_, 0) * generated_bytes_;
}

void PackedRows::pack(int64_t row, const float* x) const {
  const Arithmetic& arithmetic = row < prompt_ ? kernels_.prompt : kernels_.generated;
  arithmetic.pack(weight_.type, x, weight_.k, data_ + bytes(row));
}

void PackedRows::multiply(int64_t first, int64_t count, int64_t begin, int64_t end, float* out,
                          int64_t out_stride) const {
  const int64_t split = std::clamp(prompt_, begin, end);
  if (begin < split) {
    multiply(kernels_.prompt, first, count, data_ + bytes(begin), split - begin, out, out_stride);
  }
  if (split < end) {
    multiply(kernels_.generated, first, count, data_ + bytes(split), end - split,
             out + (split - begin) * out_stride, out_stride);
  }
}

void PackedRows::multiply(const Arithmetic& arithmetic, int64_t first, int64_t count, const uint8_t* packed,
                          int64_t rows, float* out, int64_t out_stride) const {
  const Piece* piece = &piece_of(weight_, first);
  for (int64_t begin = first; begin < first + count; ++piece) {
    const int64_t end = std::min(first + count, piece->first + piece->count);
    const WeightRows part{piece->data + (begin - piece->first) * piece->stride, end - begin, piece->stride};
    arithmetic.matmul(weight_.type, part, weight_.k, packed, rows, out + (begin - first), out_stride);
    begin = end;
  }
}

}  // namespace ostinato::cpu
