#include "cpu/kernels/level.h"
namespace ostinato::cpu::avx2 { const Level level = {}; }
