// Formats of small blocks on AVX-512 without a kernel of their own.
#include "cpu/kernels/avx512/small.h"

#include "cpu/kernels/formats.h"
#include "cpu/kernels/level.h"

namespace ostinato::cpu::avx512 {

Matmul* find_small(TensorType type) {
  Matmul* found = nullptr;
  with_format(type, PlainSmall{}, [&]<class F>() { found = &matmul<Small<F>>; });
  return found;
}

}  // namespace ostinato::cpu::avx512
