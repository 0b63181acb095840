#include "cpu/model.h"

#include <algorithm>

namespace ostinato::cpu {

const Piece& piece_of(const Weight& weight, int64_t row) {
  const auto after = [](int64_t value, const Piece& piece) { return value < piece.first; };
  return *std::prev(std::upper_bound(weight.pieces.begin(), weight.pieces.end(), row, after));
}

const uint8_t* weight_row(const Weight& weight, int64_t row) {
  const Piece& piece = piece_of(weight, row);
  return piece.data + (row - piece.first) * piece.stride;
}

}  // namespace ostinato::cpu
