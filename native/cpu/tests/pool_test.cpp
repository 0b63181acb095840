// The pool under stress: many short loops of changing length, pauses in which it falls asleep, and
// construction and destruction at any moment. Built with -fsanitize=thread by
// tests/backends/test_cpu_native.py.
#include "cpu/pool.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <thread>
#include <vector>

#include "tests/expect.h"

using ostinato::cpu::Pool;

namespace {

// Every task runs once, on a thread of the pool, and sees what the loop before it wrote.
void loops(int threads, int count) {
  Pool pool(threads);
  expect(pool.threads() == threads, "wrong number of threads");
  std::vector<int64_t> cells(97, 0), expected(97, 0);
  for (int loop = 0; loop < count; ++loop) {
    const int64_t tasks = loop % 98;
    std::atomic<int64_t> ran{0};
    pool.parallel(tasks, [&](int64_t task, int thread) {
      expect(thread >= 0 && thread < threads, "an unknown thread");
      ++cells[task];
      if (task % 8 == 0) std::this_thread::yield();  // so that the others get some
      ran.fetch_add(1, std::memory_order_relaxed);
    });
    expect(ran.load() == tasks, "a task was lost or ran twice");
    for (int64_t task = 0; task < tasks; ++task) expected[task] += 1;
    if (loop % 500 == 499)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));  // long enough to fall asleep
  }
  expect(cells == expected, "a task ran with another's number");
}

// Plain sums: a loop reads what other threads wrote in the loop before.
void chain(int threads, int count) {
  Pool pool(threads);
  std::vector<int64_t> from(64, 1), to(64, 0);
  for (int loop = 0; loop < count; ++loop) {
    pool.parallel(64, [&](int64_t task, int) { to[task] = from[(task + 1) % 64] + 1; });
    from.swap(to);
  }
  for (const int64_t value : from) expect(value == count + 1, "a write was not seen");
}

}  // namespace

int main() {
  for (const int threads : {1, 2, 3, 8}) {
    loops(threads, 3000);
    chain(threads, 2000);
  }
  for (int i = 0; i < 50; ++i) Pool pool(4);
  std::puts("ok");
}
