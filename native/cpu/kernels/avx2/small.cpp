// Formats of small blocks on AVX2 without a kernel of their own.
#include "cpu/kernels/avx2/small.h"

#include "cpu/kernels/formats.h"
#include "cpu/kernels/level.h"

namespace ostinato::cpu::avx2 {

Matmul* find_small(TensorType type) {
  Matmul* found = nullptr;
  with_format(type, PlainSmall{}, [&]<class F>() { found = &matmul<Small<F>>; });
  return found;
}

}  // namespace ostinato::cpu::avx2
