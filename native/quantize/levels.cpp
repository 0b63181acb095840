#include "quantize/encoders.h"

namespace ostinato::quantize {

namespace portable {
extern const Level kLevel;
}
#ifdef OSTINATO_X86  // set where the levels are built
namespace avx2 {
extern const Level kLevel;
}
namespace avx512 {
extern const Level kLevel;
}
#endif

const Level* const* levels(int* count) {
  static const Level* found[3];
  static const int known = [] {
    int n = 0;
#ifdef OSTINATO_X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
      found[n++] = &avx512::kLevel;
    if (__builtin_cpu_supports("avx2")) found[n++] = &avx2::kLevel;
#endif
    found[n++] = &portable::kLevel;
    return n;
  }();
  *count = known;
  return found;
}

}  // namespace ostinato::quantize
