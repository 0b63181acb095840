// Runs steps: takes packets from one thread, executes programs on the pool, hands results back. The thread
// that submits computes nothing; a coordinator of our own walks the instructions.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <thread>

#include "cpu/machine.h"
#include "cpu/packet.h"

namespace ostinato::cpu {

// Whether instructions of this opcode can be run.
bool has_op(int32_t opcode);

class Executor {
 public:
  Executor(Model&& model, const Kernels& kernels, const Vectors& vectors, int threads);
  ~Executor();  // finishes the steps in flight

  // Starts a step and returns at once. Returns an error and starts nothing where the packet is unsound. At
  // most kMaxInFlight steps may be in flight.
  std::string submit(std::span<const int32_t> words);

  // Waits for the oldest step; its result is good until it is released. One must be in flight.
  const Result& collect();
  void release();

  uint32_t in_flight() const { return submitted_.load() - released_; }
  const Model& model() const { return machine_.model; }

 private:
  struct Job {
    explicit Job(const Limits& limits) : result(limits) {}
    Packet packet;
    Result result;
  };

  void coordinate();
  void step(Job& job);

  Machine machine_;
  Admission admission_;
  std::array<Job, kMaxInFlight> jobs_;
  std::atomic<uint32_t> submitted_{0}, finished_{0};  // steps; step n uses jobs_[n % kMaxInFlight]
  uint32_t released_ = 0;
  std::atomic<bool> stop_{false};
  std::thread coordinator_;
};

}  // namespace ostinato::cpu
