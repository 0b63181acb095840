// What this 64-bit ARM machine has beyond the base instruction set.
#pragma once
#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>

#include <cstddef>
#endif

namespace ostinato::cpu::neon {

#if defined(__linux__)

// FEAT_DotProd: sdot and udot.
inline bool has_dot_products() { return getauxval(AT_HWCAP) & HWCAP_ASIMDDP; }

// FEAT_I8MM: smmla and its relatives.
inline bool has_matrix_products() { return has_dot_products() && (getauxval(AT_HWCAP2) & HWCAP2_I8MM); }

#elif defined(__APPLE__)

inline bool has_feature(const char* name) {
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}

inline bool has_dot_products() { return has_feature("hw.optional.arm.FEAT_DotProd"); }
inline bool has_matrix_products() { return has_dot_products() && has_feature("hw.optional.arm.FEAT_I8MM"); }

#else

inline bool has_dot_products() { return false; }
inline bool has_matrix_products() { return false; }

#endif

}  // namespace ostinato::cpu::neon
