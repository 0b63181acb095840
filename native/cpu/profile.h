// Where the time of steps goes: nanoseconds of every instruction of a program, added up over the steps that
// ran it. Instructions run one after another, so these are times of all threads together.
#pragma once
#include <chrono>
#include <cstdint>
#include <vector>

namespace ostinato::cpu {

struct Profile {
  int64_t steps = 0, rows = 0, logit_rows = 0;  // T and R, added up
  int64_t step_nanoseconds = 0;      // whole steps, with what happens before and after instructions
  std::vector<int64_t> nanoseconds;  // [instructions]
};

// Tells the nanoseconds since it was asked last.
class Stopwatch {
 public:
  int64_t lap() {
    const Clock::time_point now = Clock::now();
    const auto passed = std::chrono::duration_cast<std::chrono::nanoseconds>(now - last_);
    last_ = now;
    return passed.count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point last_ = Clock::now();
};

}  // namespace ostinato::cpu
