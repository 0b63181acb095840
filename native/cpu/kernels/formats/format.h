// What a block format tells the kernels: a struct F with everything that is particular to it.
//
// Super-blocks of 256 (`Super` in kernels, activations SuperRow): x = d sc[j] (code - kZero) - dmin m[j],
// j = k / kSub:
//   Block, kType       layout and name
//   kSub               elements of a sub-block, 16 or 32
//   kTop, kZero        the largest code; the code that means 0
//   kMins              whether there are minima
//   codes(block, c)    the codes of elements 32 c .. 32 c + 31
//   subs(block)        sub-scales, and minima where there are any
//   d(block), dmin(block)
// Small blocks (activations BlockRow): x = d[j] (code - kZero) + m, j = k / kWidth:
//   Block, kType, kTop, kZero, kMins, codes as above
//   kElements          of a block, a multiple of 32
//   kWidth             elements of a scale, 16 or 32
//   d(block, j), m(block)
// Codes are bytes in [0, kTop]. The bounds in sums.md hold for all bytes that a block may have.
#pragma once
#include "cpu/kernels/bytes.h"
#include "ostinato/grids.h"

namespace ostinato::cpu {

// The first 256 / kSub are used. Vectors, so that kernels find them in registers.
struct Subs {
  SubScales sc;
  SubMinima m = {};
};

BYTES_INLINE SubScales sub_scales(uint64_t low, uint64_t high = 0) {
  return reinterpret_cast<SubScales>(HalfQuads{low, high});
}

BYTES_INLINE Subs ones() { return {SubScales{} + int8_t{1}}; }

}  // namespace ostinato::cpu
