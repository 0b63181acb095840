// Formats of super-blocks on AVX-512 without a kernel of their own.
#include "cpu/kernels/avx512/super.h"

#include "cpu/kernels/formats.h"
#include "cpu/kernels/level.h"

namespace ostinato::cpu::avx512 {

Matmul* find_super(TensorType type) {
  Matmul* found = nullptr;
  with_format(type, PlainSuper{}, [&]<class F>() { found = &matmul<Super<F>>; });
  return found;
}

}  // namespace ostinato::cpu::avx512
