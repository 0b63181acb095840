// What a barrier over the whole grid costs: one atomic counter and a generation that everybody watches, as
// the persistent decode kernel has it, and cooperative groups' own for comparison. One or two blocks a
// multiprocessor.
#include <cooperative_groups.h>

#include "common.cuh"

namespace {

constexpr int kBarriers = 2000;

struct Barrier {
  unsigned arrived, generation;
};

__device__ void wait(Barrier* b, unsigned blocks) {
  __syncthreads();
  if (threadIdx.x == 0) {
    volatile unsigned* generation = &b->generation;
    const unsigned now = *generation;
    __threadfence();
    if (atomicAdd(&b->arrived, 1) == blocks - 1) {
      b->arrived = 0;
      __threadfence();
      atomicAdd(&b->generation, 1);
    } else {
      while (*generation == now) __nanosleep(20);
    }
    __threadfence();
  }
  __syncthreads();
}

__global__ void own(Barrier* b, int count) {
  for (int i = 0; i < count; ++i) wait(b, gridDim.x);
}

__global__ void groups(int count) {
  const auto grid = cooperative_groups::this_grid();
  for (int i = 0; i < count; ++i) grid.sync();
}

double cooperative(const void* kernel, int blocks, void** arguments) {
  return bench::time_ms(
      [&](int) {
        CHECK(cudaLaunchCooperativeKernel(kernel, dim3(blocks), dim3(256), arguments, 0, nullptr));
      },
      11);
}

}  // namespace

int main() {
  cudaDeviceProp card;
  CHECK(cudaGetDeviceProperties(&card, 0));
  bench::Device<Barrier> barrier(1);
  CHECK(cudaMemset(barrier.data, 0, sizeof(Barrier)));
  int count = kBarriers, none = 0;
  void* own_many[] = {&barrier.data, &count};
  void* own_none[] = {&barrier.data, &none};
  void* groups_many[] = {&count};
  void* groups_none[] = {&none};
  for (int per : {1, 2}) {
    const int blocks = per * card.multiProcessorCount;
    char name[96];
    std::snprintf(name, sizeof name, "grid barrier of our own, %d blocks", blocks);
    const auto* own_kernel = reinterpret_cast<const void*>(own);
    const auto* groups_kernel = reinterpret_cast<const void*>(groups);
    const double ours = cooperative(own_kernel, blocks, own_many) - cooperative(own_kernel, blocks, own_none);
    bench::report(name, ours / kBarriers * 1e3, "us");
    std::snprintf(name, sizeof name, "grid barrier of cooperative groups, %d blocks", blocks);
    const double theirs =
        cooperative(groups_kernel, blocks, groups_many) - cooperative(groups_kernel, blocks, groups_none);
    bench::report(name, theirs / kBarriers * 1e3, "us");
  }
}
