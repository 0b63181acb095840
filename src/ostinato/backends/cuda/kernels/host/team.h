// team.h on the host: a warp is a std::thread; whoever waits gives its core up, so that more warps than cores
// get on.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

namespace ostinato::cuda {

// A barrier for `members` threads, any number of times.
class Barrier {
 public:
  explicit Barrier(int32_t members) : members_(members) {}

  void wait() {
    const int32_t generation = generation_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == members_ - 1) {
      arrived_.store(0, std::memory_order_relaxed);
      generation_.store(generation + 1, std::memory_order_release);
      generation_.notify_all();
      return;
    }
    generation_.wait(generation, std::memory_order_acquire);
  }

 private:
  const int32_t members_;
  std::atomic<int32_t> arrived_{0}, generation_{0};
};

struct Team {
  Barrier* barrier;
  bool first;  // warp of the block

  void sync() { barrier->wait(); }
  bool leads() const { return first; }
};

inline int32_t read_word(const int32_t* word, std::memory_order order) {
  return std::atomic_ref(*const_cast<int32_t*>(word)).load(order);
}
inline int32_t read_relaxed(const int32_t* word) { return read_word(word, std::memory_order_relaxed); }
inline void wait_while(const int32_t* word, int32_t value) {
  std::atomic_ref(*const_cast<int32_t*>(word)).wait(value, std::memory_order_acquire);
}
inline void write_release(int32_t* word, int32_t value) {
  std::atomic_ref(*word).store(value, std::memory_order_release);
  std::atomic_ref(*word).notify_all();
}
inline int32_t add_ordered(int32_t* word, int32_t value) {
  return std::atomic_ref(*word).fetch_add(value, std::memory_order_acq_rel);
}
inline int32_t read_system(const int32_t* word) { return read_word(word, std::memory_order_acquire); }
inline void write_system(int32_t* word, int32_t value) { write_release(word, value); }
inline void fence_system() {}  // write_release and the block's barrier order everything here
inline void pause() { std::this_thread::yield(); }

inline uint32_t microseconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

}  // namespace ostinato::cuda
