// Tiles by the processor's instructions.
//
// Written as assembly, not as intrinsics: those of g++ 12 do not say that they read memory, and the compiler
// drops the stores that they should see.
#pragma once

namespace ostinato::cpu::amx {

#define TILE_INLINE [[gnu::always_inline]] static inline

TILE_INLINE void configure(const TileShapes& shapes) {
  asm volatile("ldtilecfg %0" ::"m"(shapes) : "memory");
}
TILE_INLINE void release() { asm volatile("tilerelease" ::: "memory"); }

template <int kTile>
TILE_INLINE void zero() {
  asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
}

// Rows of the tile's shape, `stride` bytes apart.
template <int kTile>
TILE_INLINE void load(const void* p, int64_t stride) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(kTile), "r"(p), "r"(stride) : "memory");
}
template <int kTile>
TILE_INLINE void store(void* p, int64_t stride) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(kTile), "r"(p), "r"(stride) : "memory");
}

// C [m][n] += A [m][k] B [k][n]: B holds pairs of bf16 (fours of bytes) of neighbouring k in its 32-bit
// elements.
template <int kC, int kA, int kB>
TILE_INLINE void add_product_bf16() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
}
template <int kC, int kA, int kB>
TILE_INLINE void add_product_s8() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
}

#undef TILE_INLINE

}  // namespace ostinato::cpu::amx
