// Prefetching the next group of weight rows while one is being multiplied.
//
// The rows of a group are read side by side, which hardware prefetchers follow badly; the next group is
// fetched in the order in which it lies in memory, which they help along. Panels take so
// long for a step of their many rows that the next step of the same rows is early enough.
#pragma once
#include <cstdint>

#include "cpu/kernels.h"

namespace ostinato::cpu {

// Four-bit types multiply fast enough to wait for the second-level cache: groups up to this size go to the
// first.
constexpr int64_t kFirstLevelGroup = 12 << 10;

struct Prefetch {
  enum class To { kNowhere, kFirstLevel, kSecondLevel };
  uintptr_t begin = 0;  // an address: it may lie beyond the mapping
  To to = To::kNowhere;

  [[gnu::always_inline]] void operator()(int64_t offset, int64_t bytes) const {
    const char* p = reinterpret_cast<const char*>(begin + offset);
    if (to == To::kFirstLevel)
      for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(p + i, 0, 3);
    if (to == To::kSecondLevel)
      for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(p + i, 0, 2);
  }
};

// What follows the `group` rows from row i on.
static inline Prefetch next_group(const WeightRows& w, int64_t i, int64_t group, int64_t first_level) {
  const int64_t bytes = group * w.stride;
  return {reinterpret_cast<uintptr_t>(w.data + i * w.stride) + bytes,
          bytes <= first_level ? Prefetch::To::kFirstLevel : Prefetch::To::kSecondLevel};
}

// Bytes `offset` .. `offset + bytes` of one row; they may lie beyond the mapping.
static inline void prefetch_piece(const uint8_t* row, int64_t offset, int64_t bytes) {
  const Prefetch piece = {reinterpret_cast<uintptr_t>(row) + offset, Prefetch::To::kSecondLevel};
  piece(0, bytes);
}

}  // namespace ostinato::cpu
