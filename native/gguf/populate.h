// Reads what is not in memory of a mapped file ahead of its use, in order, on a thread of its own. What the
// page cache has is left to the page faults of those who use it: they share them out among their threads, and
// on a processor whose threads share cores filling the page table beside other work delays that work.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <thread>
#include <vector>

namespace ostinato::gguf {

class Population {
 public:
  // The `runs` must stay mapped as long as this lives. What cannot be populated is left to page faults.
  // `sparse`: the mapping's faults read no page but their own (MADV_RANDOM), so that all runs are asked for
  // first.
  explicit Population(std::vector<std::span<const uint8_t>> runs, bool sparse = false);
  ~Population();  // stops it where it is
  Population(const Population&) = delete;
  Population& operator=(const Population&) = delete;

  // Waits for its end; whether it came through (elsewhere than on Linux since 5.14 it does nothing).
  bool wait();

 private:
  std::atomic<bool> stop_{false};
  bool whole_ = false;
  std::thread thread_;
};

}  // namespace ostinato::gguf
