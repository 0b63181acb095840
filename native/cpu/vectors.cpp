#include "cpu/vectors.h"

namespace ostinato::cpu {

namespace portable {
extern const Vectors kVectors;
}
#ifdef OSTINATO_X86  // set where the levels are built
namespace avx2 {
extern const Vectors kVectors;
}
namespace avx512 {
extern const Vectors kVectors;
}
#endif

const Vectors* vectors_for(Isa isa) {
  if (kernels_for(isa) == nullptr) return nullptr;  // the kernels' test of the machine covers what we use
  switch (isa) {
    case Isa::kPortable:
      return &portable::kVectors;
#ifdef OSTINATO_X86  // set where the levels are built
    case Isa::kAvx2:
      return &avx2::kVectors;
    case Isa::kAvx512:
    case Isa::kAmx:
      return &avx512::kVectors;
#endif
#ifdef OSTINATO_ARM
    case Isa::kNeon:  // the base instruction set has all that they use
    case Isa::kI8mm:
      return &portable::kVectors;
#endif
    default:
      return nullptr;
  }
}

}  // namespace ostinato::cpu
