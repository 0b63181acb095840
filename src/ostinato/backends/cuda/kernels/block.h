// Values of all lanes of a block combined. Every warp of the block calls these together, and all get the
// result; memory written before is seen by the whole block after. Only what does not depend on the order of
// combining.
#pragma once
#include "machine.h"

namespace ostinato::cuda {

OSTINATO_DEVICE inline uint64_t block_largest(Work& w, const Lane<uint64_t>& value) {
  uint64_t* of_warps = reinterpret_cast<uint64_t*>(w.shared);
  of_warps[w.block_warp] = largest(value);
  w.sync();
  const Mask inside = lane_index() < w.block_warps;
  const uint64_t out = largest(load_where(inside, of_warps, lane_index(), uint64_t{0}));
  w.sync();  // the next call may write
  return out;
}

// N sums of integers at once.
template <int32_t N>
struct Sums {
  uint64_t of[N];
};

template <int32_t N>
OSTINATO_DEVICE inline Sums<N> block_sums(Work& w, const Lane<uint64_t> (&values)[N]) {
  uint64_t* of_warps = reinterpret_cast<uint64_t*>(w.shared);  // [N, kLanes]
  static_assert(N * kLanes * sizeof(uint64_t) <= kSharedBytes);
  OSTINATO_UNROLL
  for (int32_t i = 0; i < N; ++i) of_warps[i * kLanes + w.block_warp] = sum(values[i]);
  w.sync();
  Sums<N> out;
  const Mask inside = lane_index() < w.block_warps;
  OSTINATO_UNROLL
  for (int32_t i = 0; i < N; ++i) {
    out.of[i] = sum(load_where(inside, of_warps + i * kLanes, lane_index(), uint64_t{0}));
  }
  w.sync();
  return out;
}

OSTINATO_DEVICE inline uint64_t block_sum(Work& w, const Lane<uint64_t>& value) {
  const Lane<uint64_t> values[1] = {value};
  return block_sums(w, values).of[0];
}

}  // namespace ostinato::cuda
