// How the phases of `experts` share out their work: (bucket, tile of outputs), a bucket being a kind and an
// expert. And where an expert's planes lie.
#pragma once
#include "machine.h"

namespace ostinato::cuda {

// Planes of expert `part` of a stack (counted from the first expert of the call): in device memory or in
// mapped host memory. A stack's entry in the weight table is the address of its first expert's entry in the
// table of experts, where an expert's operands stand side by side. Entries change between launches only.
OSTINATO_DEVICE inline const uint8_t* expert_planes(const Machine& m, int32_t stack, int32_t part) {
  return reinterpret_cast<const uint8_t* const*>(m.weights[stack])[kExpertOperands * part];
}

// Calls f(expert, first, last, tile) for this warp's share: the bucket's assignments are first .. last in the
// order of `group`, and tile counts from 0 to `tiles`. Only experts `from` .. `from + count`, the others are
// in another call.
template <class F>
OSTINATO_DEVICE inline void for_each_expert_tile(const Work& w, const int32_t* offsets, int32_t experts,
                                                 int32_t from, int32_t count, int32_t tiles, F f) {
  int32_t item = w.warp;  // counted from the first tile of the bucket at hand
  const int32_t buckets = 2 * experts;
  for (int32_t some = w.flags & kGeneratedOnly ? experts : 0; some < buckets; some += kLanes) {
    const Lane<int32_t> bucket = some + lane_index(), expert = bucket % experts;
    const Mask wanted = bucket < buckets && expert >= from && expert < from + count;
    const Lane<int32_t> first = load_where(wanted, offsets, bucket, 0);
    const Lane<int32_t> last = load_where(wanted, offsets, bucket + 1, 0);
    for (int32_t i = 0; any(first < last) && i < kLanes; ++i) {
      const int32_t begin = value_at(first, i), end = value_at(last, i);
      if (begin == end) continue;
      for (; item < tiles; item += w.warps) f(value_at(expert, i), begin, end, item);
      item -= tiles;
    }
  }
}

}  // namespace ostinato::cuda
