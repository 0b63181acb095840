// Fills the page table of a mapped file ahead of its use, on a thread of its own: the first pass over the
// weights then meets no page fault (some 10 000 for 0.7 GB), and a file not yet in memory is read in order.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <thread>

namespace ostinato::gguf {

class Population {
 public:
  // `bytes` must stay mapped as long as this lives. What cannot be populated is left to page faults.
  explicit Population(std::span<const uint8_t> bytes);
  ~Population();  // stops it where it is
  Population(const Population&) = delete;
  Population& operator=(const Population&) = delete;

  // Waits for its end; whether every page is there (elsewhere than on Linux since 5.14 none is).
  bool wait();

 private:
  std::atomic<bool> stop_{false};
  bool whole_ = false;
  std::thread thread_;
};

}  // namespace ostinato::gguf
