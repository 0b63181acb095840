// Compiled for both implementations of tiles.
#include "cpu/tests/tiles.h"

#include "cpu/kernels/amx/tile.h"
#include "cpu/kernels/table.h"

namespace ostinato::cpu::OSTINATO_AMX {

void tile_product(TileProduct p, const uint8_t* a, const uint8_t* b, uint8_t* c) {
  TileShapes shapes;
  const int rows[3] = {p.rows, p.rows, p.depth / 4}, bytes[3] = {4 * p.columns, p.depth, 4 * p.columns};
  for (int tile = 0; tile < 3; ++tile) {
    shapes.rows[tile] = static_cast<uint8_t>(rows[tile]);
    shapes.bytes[tile] = static_cast<uint16_t>(bytes[tile]);
  }
  const TileSession session(shapes);
  load<0>(c, bytes[0]);
  load<1>(a, bytes[1]);
  load<2>(b, bytes[2]);
  p.bfloats ? add_product_bf16<0, 1, 2>() : add_product_s8<0, 1, 2>();
  store<0>(c, bytes[0]);
}

#ifdef OSTINATO_AMX_EMULATED
const Kernels* kernels() { return table<level>(); }
#endif

}  // namespace ostinato::cpu::OSTINATO_AMX
