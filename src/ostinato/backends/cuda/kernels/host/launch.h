// A grid on the host: a thread per warp, a barrier and shared memory per block.
#pragma once
#include <memory>
#include <thread>
#include <vector>

#include "machine.h"

namespace ostinato::cuda {

struct Block {
  explicit Block(int32_t warps) : barrier(warps) {}

  Barrier barrier;
  alignas(16) uint8_t shared[kSharedBytes];
};

// Runs `kernel(machine, work)` in every warp; the destructor waits for them. Machine's fields are copied, as
// a kernel's parameters are; what they point to must outlive the launch.
class Launch {
 public:
  template <class Kernel>
  Launch(const Machine& machine, int32_t blocks, int32_t warps, uint32_t flags, Kernel kernel)
      : machine_(machine) {
    for (int32_t b = 0; b < blocks; ++b) {
      Block& block = *blocks_.emplace_back(std::make_unique<Block>(warps));
      for (int32_t i = 0; i < warps; ++i) {
        const Team team{&block.barrier, i == 0};
        Work work{b, blocks, i * blocks + b, warps * blocks, i, warps, block.shared, flags, team};
        threads_.emplace_back([this, kernel, work]() mutable { kernel(machine_, work); });
      }
    }
  }
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;
  ~Launch() {
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  const Machine machine_;
  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<std::thread> threads_;
};

}  // namespace ostinato::cuda
