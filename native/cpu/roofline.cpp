#include "cpu/roofline.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "cpu/buffer.h"
#include "joined.h"

// Not under ThreadSanitizer: the clones are chosen before its runtime is there.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_THREAD__)
#define OSTINATO_WIDEST [[gnu::target_clones("avx512f", "avx2", "default")]]
#else
#define OSTINATO_WIDEST
#endif

namespace ostinato::cpu {
namespace {

// Seconds that `threads` threads need for body(thread), all at once.
double seconds(int threads, const std::function<void(int)>& body) {
  const auto started = std::chrono::steady_clock::now();
  {
    Joined others;
    for (int thread = 1; thread < threads; ++thread) others.start(body, thread);
    body(0);
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
}

// ------------------------------------------------------------------------------------------------- memory

using Line = uint64_t __attribute__((vector_size(64)));

constexpr int64_t kLines = int64_t{4} << 20;  // 256 MiB in all
constexpr size_t kHugePage = size_t{2} << 20;

// A way to read: so many streams side by side, and so many lines fetched ahead (0: the hardware's own
// fetching).
struct Way {
  int64_t streams, ahead;
};
constexpr std::array<Way, 6> kWays{{{1, 0}, {1, 64}, {2, 0}, {4, 0}, {4, 32}, {8, 16}}};

OSTINATO_WIDEST uint64_t read_lines(const Line* lines, int64_t count, int64_t streams, int64_t ahead) {
  const int64_t each = count / streams;
  Line sum{};
  for (int64_t i = 0; i < each; ++i) {
    for (int64_t s = 0; s < streams; ++s) {
      const Line* line = lines + s * each + i;
      if (ahead != 0) __builtin_prefetch(line + ahead);
      sum ^= *line;
    }
  }
  return sum[0] ^ sum[1] ^ sum[2] ^ sum[3] ^ sum[4] ^ sum[5] ^ sum[6] ^ sum[7];
}

// Memory that is really there (pages never written are all one page of zeros), in huge pages if possible.
Buffer<Line> written_lines() {
  Buffer<Line> lines(kLines);
#if defined(__linux__)
  void* begin = lines.data();
  size_t left = kLines * sizeof(Line);
  if (std::align(kHugePage, left - kHugePage, begin, left)) madvise(begin, left, MADV_HUGEPAGE);
#endif
  std::memset(lines.data(), 1, kLines * sizeof(Line));
  return lines;
}

// ------------------------------------------------------------------------------------------ arithmetic

constexpr int64_t kRounds = 1 << 19;

#if defined(__x86_64__)

constexpr int kChains = 12;  // independent sums: more than the units times their latency

// An instruction that ends in its destination's number, on registers 0 .. 11. Registers and instructions are
// named, so that neither flags nor the compiler's wits matter; all hold zeros.
#define OSTINATO_CHAINS(I) \
  I "0\n" I "1\n" I "2\n" I "3\n" I "4\n" I "5\n" I "6\n" I "7\n" I "8\n" I "9\n" I "10\n" I "11\n"
#define OSTINATO_LOOP(I)                                                                                     \
  asm volatile("vzeroall\n1:\n" OSTINATO_CHAINS(I) "dec %0\njnz 1b\nvzeroupper"                              \
               : "+r"(rounds)::"cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", \
                 "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15")

void avx512_int8(int64_t rounds) { OSTINATO_LOOP("vpdpbusd %%zmm12, %%zmm13, %%zmm"); }
void avx512_f32(int64_t rounds) { OSTINATO_LOOP("vfmadd231ps %%zmm12, %%zmm13, %%zmm"); }
void avx2_f32(int64_t rounds) { OSTINATO_LOOP("vfmadd231ps %%ymm12, %%ymm13, %%ymm"); }
// Without VNNI a product of bytes takes three instructions.
void avx2_int8(int64_t rounds) {
  OSTINATO_LOOP(
      "vpmaddubsw %%ymm12, %%ymm13, %%ymm14\n"
      "vpmaddwd %%ymm14, %%ymm15, %%ymm14\n"
      "vpaddd %%ymm14, %%ymm15, %%ymm");
}

#endif

// A loop and the operations of one round of it.
struct Loop {
  void (*run)(int64_t rounds);
  double operations;
};

double rate(int threads, const Loop& loop) {
  double best = std::numeric_limits<double>::infinity();
  for (int pass = 0; pass < 5; ++pass) {
    best = std::min(best, seconds(threads, [&](int) { loop.run(kRounds); }));
  }
  return threads * kRounds * loop.operations / best;
}

}  // namespace

double read_bandwidth(int threads, int passes) {
  const Buffer<Line> lines = written_lines();
  const int64_t share = kLines / threads;
  std::atomic<uint64_t> sink{0};  // so that reading is not for nothing
  double best = std::numeric_limits<double>::infinity();
  for (int pass = 0; pass < passes; ++pass) {
    for (const Way& way : kWays) {
      best = std::min(best, seconds(threads, [&](int thread) {
                        sink += read_lines(lines.data() + thread * share, share, way.streams, way.ahead);
                      }));
    }
  }
  return static_cast<double>(threads * share * sizeof(Line)) / best;
}

Peaks peak_rates(Isa isa, int threads) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) {
    return {rate(threads, {avx512_int8, 128.0 * kChains}), rate(threads, {avx512_f32, 32.0 * kChains})};
  }
  if (isa == Isa::kAvx2) {
    return {rate(threads, {avx2_int8, 64.0 * kChains}), rate(threads, {avx2_f32, 16.0 * kChains})};
  }
#endif
  return {};
}

}  // namespace ostinato::cpu
