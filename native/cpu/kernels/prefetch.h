// Prefetching weight rows that come later while some are being multiplied.
//
// The rows of a group are read side by side, which hardware prefetchers follow badly: 11 of 22 GB/s a core
// were left. What comes later is fetched in the order in which it lies in memory, into the second-level
// cache, which can wait for more lines at once than the first, and some kilobytes ahead: 20 to 21. Panels
// take so long for a step of their many rows that the next step of the same rows is early enough.
#pragma once
#include <cstdint>

#include "cpu/kernels.h"

namespace ostinato::cpu {

// From what is being read to what is fetched, beyond the group. Fewer than 4 KiB wait for memory, more than
// 32 are often for the other thread.
constexpr int64_t kAhead = 8 << 10;

struct Prefetch {
  uintptr_t begin = 0;  // an address, which may lie beyond the mapping; 0: nothing is fetched

  [[gnu::always_inline]] void operator()(int64_t offset, int64_t bytes) const {
    const char* p = reinterpret_cast<const char*>(begin + offset);
    for (int64_t i = 0; begin != 0 && i < bytes; i += 64) __builtin_prefetch(p + i, 0, 2);
  }
};

// What comes `kAhead` bytes after the `group` rows from row i on.
static inline Prefetch next_group(const WeightRows& w, int64_t i, int64_t group) {
  return {reinterpret_cast<uintptr_t>(w.data + (i + group) * w.stride) + kAhead};
}

// Bytes `offset` .. `offset + bytes` of one row; they may lie beyond the mapping.
static inline void prefetch_piece(const uint8_t* row, int64_t offset, int64_t bytes) {
  const Prefetch piece = {reinterpret_cast<uintptr_t>(row) + offset};
  piece(0, bytes);
}

}  // namespace ostinato::cpu
