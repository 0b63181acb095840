// Which table of kernels: the best this machine runs, or the one OSTINATO_CPU names.
#if defined(OSTINATO_X86)
#include <cpuid.h>

#include "cpu/kernels/amx/machine.h"
#elif defined(OSTINATO_ARM)
#include "cpu/kernels/neon/machine.h"
#endif

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <string_view>

#include "cpu/kernels/table.h"

namespace ostinato::cpu {
namespace {

#ifdef OSTINATO_X86
bool has_f16c() {  // not among the names of clang's __builtin_cpu_supports
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c(); }

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}
#endif

const Kernels* choose(std::string_view wanted, const char** why_not) {
  const Kernels* best = nullptr;
  for (Isa isa : kIsas) {
    const Kernels* found = kernels_for(isa);
    if (found && (wanted.empty() || wanted == found->name)) best = found;
  }
  if (best) return best;
  constexpr std::string_view kNames[] = {"avx2", "avx512", "amx", "neon", "i8mm"};
  const bool known = std::find(std::begin(kNames), std::end(kNames), wanted) != std::end(kNames);
  if (why_not)
    *why_not = known ? "OSTINATO_CPU names an instruction level that this machine or this build lacks"
                     : "OSTINATO_CPU must be one of: portable, avx2, avx512, amx, neon, i8mm";
  return nullptr;
}

}  // namespace

const Kernels* kernels(const char** why_not) {
  const char* wanted = std::getenv("OSTINATO_CPU");
  return choose(wanted ? wanted : "", why_not);
}

const Kernels* kernels_for(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return table<portable::level>();
#ifdef OSTINATO_X86
    case Isa::kAvx2:
      return has_avx2() ? table<avx2::level>() : nullptr;
    case Isa::kAvx512:
      return has_avx512() ? table<avx512::level>() : nullptr;
    case Isa::kAmx:
      return has_avx512() && OSTINATO_AMX::ready() ? table<OSTINATO_AMX::level>() : nullptr;
#endif
#ifdef OSTINATO_ARM
    case Isa::kNeon:
      return neon::has_dot_products() ? table<neon::level>() : nullptr;
    case Isa::kI8mm:
      return neon::has_matrix_products() ? table<i8mm::level>() : nullptr;
#endif
    default:
      return nullptr;
  }
}

}  // namespace ostinato::cpu
