// Bandwidth of device memory: a copy by the driver, a copy and a read by kernels with 16-byte accesses.
#include "common.cuh"

namespace {

constexpr size_t kBytes = size_t{1} << 31;  // far beyond every L2

__global__ void copy(const uint4* from, uint4* to, size_t n) {
  for (size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x; i < n; i += size_t{gridDim.x} * blockDim.x) {
    to[i] = from[i];
  }
}

__global__ void read(const uint4* from, uint32_t* out, size_t n) {
  uint32_t mixed = 0;
  const size_t stride = size_t{gridDim.x} * blockDim.x;
  size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x;
  for (; i + 3 * stride < n; i += 4 * stride) {
    const uint4 a = from[i], b = from[i + stride], c = from[i + 2 * stride], d = from[i + 3 * stride];
    mixed ^= a.x ^ a.y ^ a.z ^ a.w ^ b.x ^ b.y ^ b.z ^ b.w ^ c.x ^ c.y ^ c.z ^ c.w ^ d.x ^ d.y ^ d.z ^ d.w;
  }
  for (; i < n; i += stride) mixed ^= from[i].x ^ from[i].y ^ from[i].z ^ from[i].w;
  if (mixed == 0x12345678u) *out = mixed;  // so that nothing is left out
}

__global__ void fill(uint32_t* to, size_t n) {
  for (size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x; i < n; i += size_t{gridDim.x} * blockDim.x) {
    to[i] = static_cast<uint32_t>(i * 2654435761u);
  }
}

}  // namespace

int main() {
  bench::Device<uint4> from(kBytes / 16), to(kBytes / 16);
  bench::Device<uint32_t> out(1);
  cudaDeviceProp card;
  CHECK(cudaGetDeviceProperties(&card, 0));
  const int blocks = card.multiProcessorCount * 8;
  fill<<<blocks, 256>>>(reinterpret_cast<uint32_t*>(from.data), kBytes / 4);
  CHECK(cudaGetLastError());
  const double gigabytes = kBytes / 1e9;
  const double driver = bench::time_ms(
      [&](int) { CHECK(cudaMemcpyAsync(to.data, from.data, kBytes, cudaMemcpyDeviceToDevice)); });
  bench::report("copy by the driver, read + written", 2 * gigabytes / driver * 1e3, "GB/s");
  const double kernel = bench::time_ms([&](int) { copy<<<blocks, 256>>>(from.data, to.data, kBytes / 16); });
  bench::report("copy by a kernel, read + written", 2 * gigabytes / kernel * 1e3, "GB/s");
  const double reading =
      bench::time_ms([&](int) { read<<<blocks, 256>>>(from.data, out.data, kBytes / 16); });
  bench::report("read by a kernel", gigabytes / reading * 1e3, "GB/s");
}
