#include "cpu/pool.h"

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>

namespace ostinato::cpu {
namespace {

constexpr int kSpins = 100;   // about 2 us of pauses: the gap between two short loops
constexpr int kYields = 100;  // then the core is offered to others; about 50 us when nobody wants it
constexpr uint64_t kTasksMask = 0xffffffff;

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins, then yields, until ready(); false when it is time to sleep.
template <class Ready>
bool wait_briefly(Ready ready) {
  for (int i = 0; i < kSpins; ++i, pause()) {
    if (ready()) return true;
  }
  for (int i = 0; i < kYields; ++i, std::this_thread::yield()) {
    if (ready()) return true;
  }
  return ready();
}

}  // namespace

int Pool::usable_cores() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

Pool::Pool(int threads) {
  workers_.reserve(std::max(0, threads - 1));
  for (int thread = 1; thread < threads; ++thread) workers_.emplace_back([this, thread] { work(thread); });
}

Pool::~Pool() {
  stop_.store(true);
  alarm_.fetch_add(1);
  alarm_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Pool::run(int64_t tasks, Call call, void* self) {
  if (tasks <= 1 || workers_.empty()) {
    for (int64_t task = 0; task < tasks; ++task) call(self, 0);
    return;
  }
  call_ = call, self_ = self, tasks_ = static_cast<uint32_t>(tasks);
  done_.store(0, std::memory_order_relaxed);
  const uint64_t loop = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
  ticket_.store(loop << 32 | tasks_);  // seq_cst: before the look at sleepers_
  if (sleepers_.load() > 0) {
    alarm_.fetch_add(1);
    alarm_.notify_all();
  }
  while (take_one(0)) {
  }
  const auto all_done = [&] { return done_.load(std::memory_order_acquire) == tasks_; };
  if (wait_briefly(all_done)) return;
  joining_.store(true);
  for (uint32_t done = done_.load(); done != tasks_; done = done_.load()) done_.wait(done);
  joining_.store(false);
}

bool Pool::take_one(int thread) {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  do {
    if ((ticket & kTasksMask) == 0) return false;
  } while (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel,
                                          std::memory_order_acquire));
  const uint32_t tasks = tasks_;
  call_(self_, thread);
  if (done_.fetch_add(1) + 1 == tasks && joining_.load()) done_.notify_one();
  return true;
}

void Pool::work(int thread) {
  while (!stop_.load(std::memory_order_relaxed)) {
    while (take_one(thread)) {
    }
    wait_for_tasks();
  }
}

// Returns once there are tasks to take, or at stop.
void Pool::wait_for_tasks() {
  const auto ready = [&] { return (ticket_.load() & kTasksMask) != 0 || stop_.load(); };
  while (!wait_briefly(ready)) {
    const uint32_t alarm = alarm_.load();
    sleepers_.fetch_add(1);
    if (!ready()) alarm_.wait(alarm);
    sleepers_.fetch_sub(1);
  }
}

}  // namespace ostinato::cpu
