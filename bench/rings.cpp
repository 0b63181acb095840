// Round trip of one record between two threads over two rings, as JSON on stdout. Run by bench/rings.py.
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "rings/ring.h"

namespace {

using ostinato::rings::Ring;

constexpr size_t kSlots = 64, kWords = 47;  // a TokenRecord
constexpr int kWarmUp = 2000, kRounds = 50000;
constexpr int kSpins = 64;  // polls before a yield: on a busy machine the other side needs this core

Ring fresh_ring() {
  void* memory =
      mmap(nullptr, Ring::bytes(kSlots, kWords), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  return Ring(memory, kSlots, kWords);
}

void wait_for(Ring& ring, int32_t* out) {
  for (int polls = 0; ring.pop(out, 1) == 0; ++polls) {
    if (polls >= kSpins) std::this_thread::yield();
  }
}

}  // namespace

int main() {
  Ring there = fresh_ring(), back = fresh_ring();
  std::thread echo([&] {
    int32_t record[kWords];
    for (int round = 0; round < kWarmUp + kRounds; ++round) {
      wait_for(there, record);
      back.push(record, 1);
    }
  });
  std::vector<double> microseconds;
  int32_t record[kWords] = {};
  for (int round = 0; round < kWarmUp + kRounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    record[0] = round;
    there.push(record, 1);
    wait_for(back, record);
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
    if (record[0] != round) return 1;
    if (round >= kWarmUp) microseconds.push_back(took.count());
  }
  echo.join();
  std::sort(microseconds.begin(), microseconds.end());
  std::printf("{\"rounds\": %d, \"record_bytes\": %zu, \"median_us\": %.3f, \"p99_us\": %.3f}\n", kRounds,
              kWords * 4, microseconds[kRounds / 2], microseconds[kRounds * 99 / 100]);
}
