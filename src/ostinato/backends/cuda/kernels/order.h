// The order of scores: higher first, of equal ones the lower id first, NaN last (as a stable descending sort
// has it).
#pragma once
#include "warp.h"

namespace ostinato::cuda {

constexpr float kNoScore = -kInfinity;
constexpr float kNaN = __builtin_bit_cast(float, 0x7fc00000u);

OSTINATO_DEVICE inline bool is_finite(float x) { return x - x == 0; }

// A greater key is a better score. -0 equals +0.
OSTINATO_DEVICE inline Lane<uint32_t> key_of(const Lane<float>& score) {
  const Lane<uint32_t> word = bits<uint32_t>(score + 0.0f);  // -0 becomes +0
  const Lane<uint32_t> key = select((word >> 31) != 0u, ~word, word | 0x80000000u);
  return select(score == score, key, 0u);
}

// A key and an id as one integer: a greater rank comes earlier.
OSTINATO_DEVICE inline Lane<uint64_t> rank_of(const Lane<float>& score, const Lane<int32_t>& id) {
  return convert<uint64_t>(key_of(score)) << 32 | convert<uint64_t>(~convert<uint32_t>(id));
}
template <class Rank>  // uint64_t or Lane<uint64_t>
OSTINATO_DEVICE inline auto id_of(const Rank& rank) {
  return convert<int32_t>(~convert<uint32_t>(rank));
}
// Of a rank whose score is a number.
OSTINATO_DEVICE inline float score_of(uint64_t rank) {
  const uint32_t key = static_cast<uint32_t>(rank >> 32);
  return bits<float>(key >> 31 ? key & 0x7fffffffu : ~key);
}

}  // namespace ostinato::cuda
