// Tiles as Intel's manual defines each operation, in AVX-512; for tests.
#pragma once
#include <immintrin.h>

#include <cstring>

namespace ostinato::cpu::amx_emulated {

struct Tiles {
  TileShapes shapes;
  alignas(64) uint8_t data[kTiles][kTileRows][kTileBytes];
};

inline thread_local Tiles tiles;

template <int kTile>
void zero() {
  std::memset(tiles.data[kTile], 0, sizeof tiles.data[kTile]);
}

inline void configure(const TileShapes& shapes) {
  tiles.shapes = shapes;
  std::memset(tiles.data, 0, sizeof tiles.data);
}
inline void release() { configure({}); }

template <int kTile>
void load(const void* p, int64_t stride) {
  zero<kTile>();
  for (int i = 0; i < tiles.shapes.rows[kTile]; ++i)
    std::memcpy(tiles.data[kTile][i], static_cast<const uint8_t*>(p) + i * stride, tiles.shapes.bytes[kTile]);
}
template <int kTile>
void store(void* p, int64_t stride) {
  for (int i = 0; i < tiles.shapes.rows[kTile]; ++i)
    std::memcpy(static_cast<uint8_t*>(p) + i * stride, tiles.data[kTile][i], tiles.shapes.bytes[kTile]);
}

// The unit flushes subnormal results and takes subnormal inputs as zeros, whatever the processor's mode is.
// The assembly has all of memory as an operand, so no arithmetic that begins and ends in memory moves across
// it.
class FlushSubnormals {
 public:
  FlushSubnormals() : before_(_mm_getcsr()) { set(before_ | 0x8040); }
  ~FlushSubnormals() { set(before_); }

 private:
  static void set(unsigned value) { asm volatile("ldmxcsr %0" ::"m"(value) : "memory"); }
  const unsigned before_;
};

// One row of TDPBF16PS: c [16] += a [pairs] b [pairs][16].
inline void add_row_bf16(const uint8_t* a, const uint8_t (*b)[kTileBytes], int pairs, uint8_t* c) {
  const __m512i odd_half = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
  for (int k = 0; k < pairs; ++k) {
    int32_t pair;
    std::memcpy(&pair, a + 4 * k, 4);
    const __m512i x = _mm512_set1_epi32(pair), y = _mm512_load_si512(b[k]);
    const auto low = [](__m512i v) { return _mm512_castsi512_ps(_mm512_slli_epi32(v, 16)); };
    const auto high = [&](__m512i v) { return _mm512_castsi512_ps(_mm512_and_si512(v, odd_half)); };
    even = _mm512_fmadd_ps(low(x), low(y), even);
    odd = _mm512_fmadd_ps(high(x), high(y), odd);
  }
  _mm512_store_ps(c, _mm512_add_ps(_mm512_load_ps(c), _mm512_add_ps(even, odd)));
}

inline int32_t dot_s8(const uint8_t* a, const uint8_t* b) {
  int32_t sum = 0;
  for (int i = 0; i < 4; ++i) sum += static_cast<int8_t>(a[i]) * static_cast<int8_t>(b[i]);
  return sum;
}

// One row of TDPBSSD.
inline void add_row_s8(const uint8_t* a, const uint8_t (*b)[kTileBytes], int fours, uint8_t* c) {
  for (int n = 0; n < kTileRows; ++n) {
    uint32_t sum;  // wraps, as the unit's do
    std::memcpy(&sum, c + 4 * n, 4);
    for (int k = 0; k < fours; ++k) sum += static_cast<uint32_t>(dot_s8(a + 4 * k, b[k] + 4 * n));
    std::memcpy(c + 4 * n, &sum, 4);
  }
}

// Columns of C beyond its shape are computed too, and never stored.
template <int kC, int kA, int kB>
[[gnu::noinline]] void add_product_bf16() {
  const FlushSubnormals mode;
  for (int m = 0; m < tiles.shapes.rows[kC]; ++m)
    add_row_bf16(tiles.data[kA][m], tiles.data[kB], tiles.shapes.bytes[kA] / 4, tiles.data[kC][m]);
}
template <int kC, int kA, int kB>
[[gnu::noinline]] void add_product_s8() {
  for (int m = 0; m < tiles.shapes.rows[kC]; ++m)
    add_row_s8(tiles.data[kA][m], tiles.data[kB], tiles.shapes.bytes[kA] / 4, tiles.data[kC][m]);
}

}  // namespace ostinato::cpu::amx_emulated
