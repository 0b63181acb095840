#include "cpu/model.h"

#include <algorithm>

namespace ostinato::cpu {

const uint8_t* weight_row(const Weight& weight, int64_t row) {
  const auto after = [](int64_t value, const Piece& piece) { return value < piece.first; };
  const auto next = std::upper_bound(weight.pieces.begin(), weight.pieces.end(), row, after);
  const Piece& piece = *std::prev(next);
  return piece.data + (row - piece.first) * piece.stride;
}

}  // namespace ostinato::cpu
