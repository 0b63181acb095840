// The tiles of a matrix unit (AMX): eight registers of up to 16 rows of 64 bytes, and products of them.
//
// Two implementations of one interface: the instructions, and, where OSTINATO_AMX_EMULATED is defined, what
// Intel's manual says of each, in AVX-512, so that the kernels written on it run and are tested on other
// machines. The sources of this folder are compiled once for either, in namespaces of their own.
#pragma once
#include <cstddef>
#include <cstdint>

#include "cpu/kernels/amx/namespace.h"

namespace ostinato::cpu::OSTINATO_AMX {

constexpr int kTiles = 8, kTileRows = 16, kTileBytes = 64;

// What LDTILECFG reads: the sizes of the tiles that are in use.
struct alignas(64) TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {};  // of a row
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileShapes) == 64);

}  // namespace ostinato::cpu::OSTINATO_AMX

#ifdef OSTINATO_AMX_EMULATED
#include "cpu/kernels/amx/tile_emulated.h"
#else
#include "cpu/kernels/amx/tile_instructions.h"
#endif

namespace ostinato::cpu::OSTINATO_AMX {

// Tiles of given shapes for as long as it lives; all begin as zeros.
class TileSession {
 public:
  explicit TileSession(const TileShapes& shapes) { configure(shapes); }
  ~TileSession() { release(); }
  TileSession(const TileSession&) = delete;
  TileSession& operator=(const TileSession&) = delete;
};

}  // namespace ostinato::cpu::OSTINATO_AMX
