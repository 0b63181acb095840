// team.h on a device. Volatile access and fences: the oldest cards of the list have no ld.acquire.
#pragma once
#include <cstdint>

#include "warp.h"

namespace ostinato::cuda {

struct Team {
  OSTINATO_DEVICE void sync() { __syncthreads(); }
  OSTINATO_DEVICE bool leads() const { return threadIdx.x == 0; }
};

OSTINATO_DEVICE inline int32_t read_relaxed(const int32_t* word) {
  return *static_cast<const volatile int32_t*>(word);
}

OSTINATO_DEVICE inline void wait_while(const int32_t* word, int32_t value) {
  while (read_relaxed(word) == value) {
  }
  __threadfence();
}

OSTINATO_DEVICE inline void write_release(int32_t* word, int32_t value) {
  __threadfence();
  *static_cast<volatile int32_t*>(word) = value;
}

OSTINATO_DEVICE inline int32_t add_ordered(int32_t* word, int32_t value) {
  __threadfence();
  const int32_t before = atomicAdd(word, value);
  __threadfence();
  return before;
}

OSTINATO_DEVICE inline int32_t read_system(const int32_t* word) {
  const int32_t value = read_relaxed(word);
  __threadfence_system();
  return value;
}

OSTINATO_DEVICE inline void write_system(int32_t* word, int32_t value) {
  __threadfence_system();
  *static_cast<volatile int32_t*>(word) = value;
}

OSTINATO_DEVICE inline void fence_system() { __threadfence_system(); }

OSTINATO_DEVICE inline void pause() {
#if __CUDA_ARCH__ >= 700
  __nanosleep(100);
#endif
}

OSTINATO_DEVICE inline uint32_t microseconds() {
  uint64_t nanoseconds;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(nanoseconds));
  return static_cast<uint32_t>(nanoseconds / 1000);
}

}  // namespace ostinato::cuda
