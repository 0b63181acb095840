// The kernels of a card: one per phase for graphs, `decode` for runs of decode steps.
//
// blockDim.x is 32 to 32 kWarps, gridDim.x anything; `decode` is launched cooperatively. The Machine is read
// once, so it may change between launches of a graph.
#include "persistent.h"
#include "phases.h"

namespace ostinato::cuda {

constexpr int32_t kThreads = kWarps * kLanes;

__device__ inline Work work_of_this_warp(uint8_t* shared, uint32_t flags) {
  const int32_t block = static_cast<int32_t>(blockIdx.x), blocks = static_cast<int32_t>(gridDim.x);
  const int32_t warp = static_cast<int32_t>(threadIdx.x) / kLanes,
                warps = static_cast<int32_t>(blockDim.x) / kLanes;
  return {block, blocks, warp * blocks + block, warps * blocks, warp, warps, shared, flags, {}};
}

struct RunCall {
  __device__ void operator()(const Machine& m, int32_t index, Work& w) const {
    switch (m.phase(index)) {
#define OSTINATO_CASE(name, Call) \
  case call::Phase::k##Call:      \
    return run(m.call<call::Call>(index), m, w);
      OSTINATO_PHASES(OSTINATO_CASE)
#undef OSTINATO_CASE
    }
  }
};

}  // namespace ostinato::cuda

#define OSTINATO_KERNEL(name, Call)                                                        \
  extern "C" __global__ void __launch_bounds__(ostinato::cuda::kThreads)                   \
      phase_##name(const ostinato::cuda::Machine* machine, int32_t call, uint32_t flags) { \
    __shared__ __align__(16) uint8_t shared[ostinato::kSharedBytes];                       \
    const ostinato::cuda::Machine m = *machine;                                            \
    ostinato::cuda::Work w = ostinato::cuda::work_of_this_warp(shared, flags);             \
    ostinato::cuda::run(m.call<ostinato::call::Call>(call), m, w);                         \
  }
OSTINATO_PHASES(OSTINATO_KERNEL)
#undef OSTINATO_KERNEL

extern "C" __global__ void __launch_bounds__(ostinato::cuda::kThreads)
    decode(const ostinato::cuda::Machine* machine) {
  __shared__ __align__(16) uint8_t shared[ostinato::kSharedBytes];
  const ostinato::cuda::Machine m = *machine;
  ostinato::cuda::Work w = ostinato::cuda::work_of_this_warp(shared, 0);
  ostinato::cuda::decode_steps(m, w, ostinato::cuda::RunCall{});
}
