#include "cpu/model.h"

#include <algorithm>

namespace ostinato::cpu {

void multiply(const Kernels& kernels, const Weight& weight, int64_t first, int64_t count, const void* packed,
              int64_t rows, float* out, int64_t out_stride) {
  for (const Piece& piece : weight.pieces) {
    const int64_t begin = std::max(first, piece.first);
    const int64_t end = std::min(first + count, piece.first + piece.count);
    if (begin >= end) continue;
    const WeightRows part{piece.data + (begin - piece.first) * piece.stride, end - begin, piece.stride};
    kernels.matmul(weight.type, part, weight.k, packed, rows, out + (begin - first), out_stride);
  }
}

const uint8_t* weight_row(const Weight& weight, int64_t row) {
  const auto after = [](int64_t value, const Piece& piece) { return value < piece.first; };
  const auto next = std::upper_bound(weight.pieces.begin(), weight.pieces.end(), row, after);
  const Piece& piece = *std::prev(next);
  return piece.data + (row - piece.first) * piece.stride;
}

}  // namespace ostinato::cpu
