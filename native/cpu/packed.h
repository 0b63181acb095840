// Activation rows packed for a weight, and their products. Prompt rows come first, as in every value; each
// kind has its own arithmetic, and so its own form and its own stride.
#pragma once
#include <cstdint>

#include "cpu/kernels.h"
#include "cpu/model.h"

namespace ostinato::cpu {

// Rows packed for one weight serve another whose forms are the same.
struct Forms {
  Packing prompt = Packing::kNone, generated = Packing::kNone;
  bool operator==(const Forms&) const = default;
};

Forms forms(const Kernels& kernels, TensorType type);

// Bytes of so many packed rows, whatever their kinds.
size_t packed_size(const Kernels& kernels, const Weight& weight, int64_t rows);

class PackedRows {
 public:
  // At `data` (64-byte aligned), the first `prompt` rows of kind prompt.
  PackedRows(const Kernels& kernels, const Weight& weight, int64_t prompt, uint8_t* data);

  // Bytes of the first `rows` rows.
  int64_t bytes(int64_t rows) const;

  void pack(int64_t row, const float* x) const;

  // out[(r - begin) x out_stride + i] = row (first + i) of the weight . packed row r, for i < count and begin
  // <= r < end.
  void multiply(int64_t first, int64_t count, int64_t begin, int64_t end, float* out,
                int64_t out_stride) const;

 private:
  void multiply(const Arithmetic& arithmetic, int64_t first, int64_t count, const uint8_t* packed,
                int64_t rows, float* out, int64_t out_stride) const;

  const Kernels& kernels_;
  const Weight& weight_;
  int64_t prompt_, prompt_bytes_, generated_bytes_;  // rows; bytes of a row
  uint8_t* data_;
};

}  // namespace ostinato::cpu
