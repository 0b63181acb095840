// What one instruction level brings; select.cpp makes the public tables of it.
//
// Every source of a level is compiled with that level's flags, so its helpers are `static`: an inline
// function with external linkage could be the copy the linker keeps for everyone, and fail on older machines.
#pragma once
#include "cpu/kernels.h"

namespace ostinato::cpu {

using Pack = void(const float* x, int64_t k, void* out);
using Matmul = void(WeightRows w, int64_t k, const void* packed, int64_t rows, float* out,
                    int64_t out_stride);

struct Level {
  Isa isa;
  const char* name;
  Pack *pack_super, *pack_blocks;
  Matmul* (*matmul)(TensorType type);  // nullptr where the type is not supported
  const Arithmetic* prompt = nullptr;  // of prompt rows, where it is another than that of generated rows
};

namespace portable {
extern const Level level;
}
namespace avx2 {
extern const Level level;
}
namespace avx512 {
extern const Level level;
}
namespace amx {
extern const Level level;
}
namespace amx_emulated {
extern const Level level;
}
namespace neon {
extern const Level level;
}
namespace i8mm {
extern const Level level;
}

}  // namespace ostinato::cpu
