// Kernels on the host: a launch starts a thread per warp and waits for them, or hands out a handle to wait
// with. The C functions at the end are what Python calls.
#include <memory>
#include <thread>
#include <vector>

#include "host/phase.h"
#include "persistent.h"

namespace ostinato::cuda {

namespace {

void run_call(const Machine& m, int32_t index, Work& w) {
  switch (m.phase(index)) {
#define OSTINATO_CASE(name, Call) \
  case call::Phase::k##Call:      \
    return phase_##name(m, index, w);
    OSTINATO_PHASES(OSTINATO_CASE)
#undef OSTINATO_CASE
  }
}

struct Block {
  explicit Block(int32_t warps) : barrier(warps) {}

  Barrier barrier;
  alignas(16) uint8_t shared[kSharedBytes];
};

// A grid in flight. Machine's fields are copied, as a kernel's parameters are; what they point to must
// outlive it.
class Launch {
 public:
  template <class Kernel>
  Launch(const Machine& machine, int32_t blocks, int32_t warps, uint32_t flags, Kernel kernel)
      : machine_(machine) {
    for (int32_t b = 0; b < blocks; ++b) {
      Block& block = *blocks_.emplace_back(std::make_unique<Block>(warps));
      for (int32_t i = 0; i < warps; ++i) {
        Work work{b,     blocks,       i * blocks + b, warps * blocks,          i,
                  warps, block.shared, flags,          {&block.barrier, i == 0}};
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

}  // namespace
}  // namespace ostinato::cuda

using namespace ostinato::cuda;

extern "C" {

// Runs one call to its end, as a kernel in a graph does.
void ostinato_launch(const Machine* machine, int32_t call, uint32_t flags, int32_t blocks, int32_t warps) {
  Launch(*machine, blocks, warps, flags, [call](const Machine& m, Work& w) { run_call(m, call, w); });
}

// Starts the persistent kernel; ostinato_wait ends with it and frees the handle.
void* ostinato_decode(const Machine* machine, int32_t blocks, int32_t warps) {
  return new Launch(*machine, blocks, warps, 0,
                    [](const Machine& m, Work& w) { decode_steps(m, w, run_call); });
}
void ostinato_wait(void* launch) { delete static_cast<Launch*>(launch); }

// The host's side of words that a running kernel shares.
int32_t ostinato_read(const int32_t* word) { return read_system(word); }
void ostinato_write(int32_t* word, int32_t value) { write_system(word, value); }
}
