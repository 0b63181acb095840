// Formats of super-blocks on grids on AVX2 without a kernel of their own.
#include "cpu/kernels/avx2/super.h"
#include "cpu/kernels/formats.h"
#include "cpu/kernels/level.h"

namespace ostinato::cpu::avx2 {

Matmul* find_grids(TensorType type) {
  Matmul* found = nullptr;
  with_format(type, GridSuper{}, [&]<class F>() { found = &matmul<Super<F>>; });
  return found;
}

}  // namespace ostinato::cpu::avx2
