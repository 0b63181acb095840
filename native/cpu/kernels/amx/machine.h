// Whether this machine has the matrix unit, the system keeps its registers, and this process may use them.
#pragma once
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cstdint>

#include "cpu/kernels/amx/namespace.h"

namespace ostinato::cpu::amx {

static inline bool has_tiles() {
  unsigned a, b, c, d;
  constexpr unsigned kBF16 = 1u << 22, kTile = 1u << 24, kInt8 = 1u << 25, kWanted = kBF16 | kTile | kInt8;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & kWanted) != kWanted) return false;
  constexpr unsigned kAvx512BF16 = 1u << 5;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & kAvx512BF16);
}

// XCR0's bits 17 and 18: the system saves tiles and their configuration.
static inline bool system_keeps_tiles() {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return false;
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  constexpr uint32_t kTiles = 3u << 17;
  return (low & kTiles) == kTiles;
}

// Linux grants the tiles' 8 KiB of saved state on request, for all threads of a process.
static inline bool may_use_tiles() {
#ifdef __linux__
  constexpr long kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
#else
  return false;
#endif
}

[[maybe_unused]] static bool ready() {
  static const bool is = has_tiles() && system_keeps_tiles() && may_use_tiles();
  return is;
}

}  // namespace ostinato::cpu::amx

namespace ostinato::cpu::amx_emulated {

[[maybe_unused]] static bool ready() { return __builtin_cpu_supports("avx512bf16"); }

}  // namespace ostinato::cpu::amx_emulated
