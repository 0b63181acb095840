// A matrix handed out to warps, 32 elements of a row at a time.
#pragma once
#include "machine.h"

namespace ostinato::cuda {

// Calls f(row, columns, inside) for this warp's share of [rows, width]; columns beyond the width are not
// inside.
template <class F>
OSTINATO_DEVICE inline void for_each_piece(const Work& w, int32_t rows, int32_t width, F f) {
  const int32_t pieces = (width + kLanes - 1) / kLanes;
  for (int32_t item = w.warp; item < rows * pieces; item += w.warps) {
    const Lane<int32_t> column = item % pieces * kLanes + lane_index();
    f(item / pieces, column, column < width);
  }
}

}  // namespace ostinato::cuda
