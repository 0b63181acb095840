// Formats of small blocks on ARM.
#include "cpu/kernels/neon/small.h"

#include "cpu/kernels/formats.h"
#include "cpu/kernels/level.h"

namespace ostinato::cpu::OSTINATO_LEVEL {

Matmul* find_small(TensorType type) {
  Matmul* found = nullptr;
  with_format(type, SmallFormats{}, [&]<class F>() { found = &matmul<Small<F>>; });
  return found;
}

}  // namespace ostinato::cpu::OSTINATO_LEVEL
