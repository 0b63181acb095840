// For tests: single products of tiles, by instructions and emulated; and the AMX level on emulated tiles.
#pragma once
#ifdef OSTINATO_X86
#include "cpu/kernels.h"
#include "cpu/kernels/amx/machine.h"

namespace ostinato::cpu {

struct TileProduct {
  bool bfloats;              // else signed bytes
  int rows, columns, depth;  // of C in 32-bit elements; bytes of a row of A
};

namespace amx {
void tile_product(TileProduct p, const uint8_t* a, const uint8_t* b, uint8_t* c);
}
namespace amx_emulated {
void tile_product(TileProduct p, const uint8_t* a, const uint8_t* b, uint8_t* c);
const Kernels* kernels();
}  // namespace amx_emulated

// nullptr where the machine has no AVX-512 with bf16 to emulate tiles with.
inline const Kernels* emulated_amx() {
  return kernels_for(Isa::kAvx512) && __builtin_cpu_supports("avx512bf16") ? amx_emulated::kernels()
                                                                           : nullptr;
}

}  // namespace ostinato::cpu
#endif
