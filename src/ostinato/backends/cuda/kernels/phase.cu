// One phase's kernel, for graphs: OSTINATO_NAME is its name, OSTINATO_CALL the type of its call.
#include "launch.h"

#define OSTINATO_TEXT(x) #x
// clang-format off: it would put spaces into the path.
#define OSTINATO_FILE(name) OSTINATO_TEXT(phases/name.h)
// clang-format on
#define OSTINATO_JOINED(a, b) a##b
#define OSTINATO_KERNEL_OF(name) OSTINATO_JOINED(phase_, name)
#include OSTINATO_FILE(OSTINATO_NAME)

// One block a multiprocessor is enough: without the 1, some versions spill to make room for more.
extern "C" __global__ void __launch_bounds__(ostinato::cuda::kThreads, 1)
    OSTINATO_KERNEL_OF(OSTINATO_NAME)(const ostinato::cuda::Machine* machine, int32_t call, uint32_t flags) {
  __shared__ __align__(16) uint8_t shared[ostinato::kSharedBytes];
  const ostinato::cuda::Machine m = *machine;
  ostinato::cuda::Work w = ostinato::cuda::work_of_this_warp(shared, flags);
  ostinato::cuda::run(m.call<ostinato::call::OSTINATO_CALL>(call), m, w);
}
