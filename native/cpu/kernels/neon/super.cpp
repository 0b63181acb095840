// Formats of super-blocks on ARM.
#include "cpu/kernels/neon/super.h"

#include "cpu/kernels/formats.h"
#include "cpu/kernels/level.h"

namespace ostinato::cpu::OSTINATO_LEVEL {

Matmul* find_super(TensorType type) {
  Matmul* found = nullptr;
  with_format(type, SuperFormats{}, [&]<class F>() { found = &matmul<Super<F>>; });
  return found;
}

}  // namespace ostinato::cpu::OSTINATO_LEVEL
