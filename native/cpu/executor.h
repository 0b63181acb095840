// Runs steps: takes packets from one thread, executes programs on the pool, hands results back. The thread
// that submits computes nothing; a coordinator of our own walks the instructions, and does a run of decode
// steps without anybody else until it is over or another packet waits.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <thread>

#include "cpu/machine.h"
#include "cpu/packet.h"
#include "cpu/profile.h"

namespace ostinato::cpu {

// Whether instructions of this opcode can be run.
bool has_op(int32_t opcode);

class Executor {
 public:
  // `store` has the weights that are streamed, and must outlive this; without such weights it is nullptr.
  Executor(Model&& model, const Kernels& kernels, const Vectors& vectors, int threads,
           memory::Store* store = nullptr);
  ~Executor();  // finishes the steps in flight

  // Starts a step or a run and returns at once. Returns an error and starts nothing where the packet is
  // unsound. At most kMaxInFlight steps may be in flight.
  std::string submit(std::span<const int32_t> words);

  // Steps first .. first + count of a result. With `more`, the run goes on.
  struct Part {
    const Result& result;
    int32_t first, count;
    bool more;
  };

  // Waits for the oldest batch, or for the next steps of a run. The last part must be released before the
  // next batch is collected; till then the result is good. One must be in flight.
  Part collect();
  void release();

  uint32_t in_flight() const { return submitted_.load() - released_; }

  // From now on the times of the instructions are added up, from zero. No step may be in flight, nor when
  // they are read: those of the prefill program, then of the decode program.
  void start_profile();
  const std::array<Profile, 2>& profiles() const { return profiles_; }

  const Model& model() const { return machine_.model; }

 private:
  struct Job {
    explicit Job(const Limits& limits) : result(limits), rows(limits.max_sequences) {}
    Packet packet;
    Result result;
    std::atomic<uint32_t> progress{0};  // 2 x steps done, + 1 when that is all
    int32_t collected = 0;              // steps
    Buffer<int32_t> rows;               // [spans] that a run computed
  };

  void coordinate();
  void run(Job& job, uint32_t number);
  void step(Job& job);
  void settle(Job& job, int32_t steps);
  Profile* profile();  // of the program that runs; nullptr where nobody asked

  Machine machine_;
  Admission admission_;
  std::array<Job, kMaxInFlight> jobs_;
  bool profiling_ = false;
  std::array<Profile, 2> profiles_;
  std::atomic<uint32_t> submitted_{0};  // batches; batch n uses jobs_[n % kMaxInFlight]
  uint32_t released_ = 0;
  std::atomic<bool> stop_{false};
  std::thread coordinator_;
};

}  // namespace ostinato::cpu
