// The kernel of runs of decode steps, launched cooperatively. OSTINATO_PHASES lists the phases that the
// model's steps of few rows need.
#include "launch.h"
#include "persistent.h"
#include "phases.h"

namespace ostinato::cuda {

// A function of its own for each phase: inlined into one kernel they would take each other's registers.
#define OSTINATO_FUNCTION(name, Call)                                                 \
  __device__ __noinline__ void run_##name(const Machine& m, int32_t index, Work& w) { \
    run(m.call<call::Call>(index), m, w);                                             \
  }
OSTINATO_PHASES(OSTINATO_FUNCTION)
#undef OSTINATO_FUNCTION

struct RunCall {
  __device__ void operator()(const Machine& m, int32_t index, Work& w) const {
    switch (m.phase(index)) {
#define OSTINATO_CASE(name, Call) \
  case call::Phase::k##Call:      \
    return run_##name(m, index, w);
      OSTINATO_PHASES(OSTINATO_CASE)
#undef OSTINATO_CASE
      default:
        return;
    }
  }
};

}  // namespace ostinato::cuda

extern "C" __global__ void __launch_bounds__(ostinato::cuda::kThreads)
    decode(const ostinato::cuda::Machine* machine) {
  __shared__ __align__(16) uint8_t shared[ostinato::kSharedBytes];
  const ostinato::cuda::Machine m = *machine;
  ostinato::cuda::Work w = ostinato::cuda::work_of_this_warp(shared, 0);
  ostinato::cuda::decode_steps(m, w, ostinato::cuda::RunCall{});
}
