// Persistent threads that share parallel loops. Loops end when all their *tasks* are done, not when all
// threads have arrived: a thread that lost its core delays the others by the one task it holds. Idle threads
// sleep.
#pragma once
#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

#include "cpu/ranges.h"

namespace ostinato::cpu {

class Pool {
 public:
  // `threads` counts the thread that calls parallel(), which is thread 0 and always the same one.
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(task, thread) for every task in 0 .. tasks, in any order and on any thread; returns when all
  // are done. Allocates nothing. `body` must not throw and must not call parallel() itself.
  template <class Body>
  void parallel(int64_t tasks, Body&& body) {
    struct Loop {
      std::remove_reference_t<Body>& body;
      Ranges ranges;
    } loop{body, {tasks, threads()}};
    run(
        tasks,
        [](void* self, int thread) {
          Loop& that = *static_cast<Loop*>(self);
          that.body(that.ranges.take(thread), thread);
        },
        &loop);
  }

  // Cores that this process may use.
  static int usable_cores();

 private:
  using Call = void (*)(void* self, int thread);  // one task

  void run(int64_t tasks, Call call, void* self);
  void work(int thread);
  bool take_one(int thread);
  void wait_for_tasks();

  // Loop number in the upper half, in the lower half tasks that nobody has claimed yet. A thread claims one
  // by decrementing it: not a certain task, which the loop's ranges deal out, but the right to one. Only then
  // it reads call_, self_ and tasks_, which cannot change before that task is done.
  std::atomic<uint64_t> ticket_{0};
  Call call_ = nullptr;
  void* self_ = nullptr;
  uint32_t tasks_ = 0;

  alignas(64) std::atomic<uint32_t> done_{0};
  std::atomic<bool> joining_{false};  // thread 0 may be asleep on done_
  alignas(64) std::atomic<uint32_t> alarm_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace ostinato::cpu
