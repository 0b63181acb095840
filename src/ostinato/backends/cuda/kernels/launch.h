// What the kernels of a card begin with: a thread's place in the launch.
//
// blockDim.x is 32 to 32 kWarps, gridDim.x anything. The Machine is read once, so it may change between
// launches of a graph.
#pragma once
#include "machine.h"

namespace ostinato::cuda {

constexpr int32_t kThreads = kWarps * kLanes;

__device__ inline Work work_of_this_warp(uint8_t* shared, uint32_t flags) {
  const int32_t block = static_cast<int32_t>(blockIdx.x), blocks = static_cast<int32_t>(gridDim.x);
  const int32_t warp = static_cast<int32_t>(threadIdx.x) / kLanes,
                warps = static_cast<int32_t>(blockDim.x) / kLanes;
  return {block, blocks, warp * blocks + block, warps * blocks, warp, warps, shared, flags, {}};
}

}  // namespace ostinato::cuda
