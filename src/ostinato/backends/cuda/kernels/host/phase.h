// Phases on the host: one function each, in an object file of its own.
#pragma once
#include "machine.h"

namespace ostinato::cuda {

#define OSTINATO_DECLARE(name, Call) void phase_##name(const Machine& m, int32_t index, Work& w);
OSTINATO_PHASES(OSTINATO_DECLARE)
#undef OSTINATO_DECLARE

}  // namespace ostinato::cuda
