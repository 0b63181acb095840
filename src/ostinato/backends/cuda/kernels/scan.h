// Running sums over the lanes of a warp.
#pragma once
#include "warp.h"

namespace ostinato::cuda {

// The sum of all earlier lanes' values, in integers.
OSTINATO_DEVICE inline Lane<int32_t> sum_before(const Lane<int32_t>& value) {
  Lane<int32_t> before = 0,
                total = value;  // total: of the 2, 4, ... lanes that a lane has met, itself among them
  OSTINATO_UNROLL
  for (int32_t distance = 1; distance < kLanes; distance *= 2) {
    const Lane<int32_t> met = shuffle_xor(total, distance);
    before += select((lane_index() & distance) != 0, met, 0);
    total += met;
  }
  return before;
}

}  // namespace ostinato::cuda
