// Two candidates for the Q4_K mat-vec, one activation row, 4096 x 14336 (a down projection of an 8B model):
//   integers  activations packed to int8 with one scale per 256; __dp4a on nibbles; exact int32 per
//   super-block halves    activations as half2; nibbles become halves by bit tricks (0x6400 | q is 1024 + q);
//   __hfma2 chains
// A warp takes one weight row and reads a super-block's 144 bytes as nine 16-byte words; both must agree with
// the host's float64 product before they are timed. Inputs rotate, so that the matrix never comes from L2.
#include <cuda_fp16.h>

#include <cmath>
#include <random>

#include "common.cuh"

namespace {

constexpr int kN = 4096, kK = 14336, kBlocks = kK / 256, kBlockBytes = 144;
constexpr size_t kMatrix = size_t{kN} * kBlocks * kBlockBytes;
constexpr int kCopies = 8, kWarps = 8;

// 6-bit scale and minimum of sub-block j, as ggml-quants.c packs them.
inline void scale_min(const uint8_t* s, int j, int& scale, int& least) {
  if (j < 4) {
    scale = s[j] & 63, least = s[j + 4] & 63;
  } else {
    scale = (s[j + 4] & 15) | (s[j - 4] >> 6 << 4), least = (s[j + 4] >> 4) | (s[j] >> 6 << 4);
  }
}

__device__ float warp_sum(float x) {
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(~0u, x, step);
  return x;
}

// Lane = (super-block of four, eighth of it): 16 bytes of nibbles are 32 columns of two sub-blocks.
struct Place {
  int group, eighth;
  __device__ Place() : group(threadIdx.x % 32 / 8), eighth(threadIdx.x % 8) {}
  // Columns first .. first + 15 and the same + 32.
  __device__ int first() const { return eighth / 2 * 64 + eighth % 2 * 16; }
};

// Of sub-blocks 2 x chunk and the next. By shifts of whole words: a byte index would move them to local
// memory.
struct Scales {
  float d, dmin;
  int scale[2], least[2];
  __device__ Scales(const uint8_t* block, int chunk) {
    const uint4 head = *reinterpret_cast<const uint4*>(block);
    const __half2 both = *reinterpret_cast<const __half2*>(&head.x);
    d = __low2float(both), dmin = __high2float(both);
    for (int i = 0; i < 2; ++i) {
      const int shift = 8 * ((2 * chunk + i) % 4);
      const uint32_t first = head.y >> shift, second = head.z >> shift, third = head.w >> shift;
      scale[i] = static_cast<int>(chunk < 2 ? first & 63 : (third & 15) | (first >> 6 & 3) << 4);
      least[i] = static_cast<int>(chunk < 2 ? second & 63 : (third >> 4 & 15) | (second >> 6 & 3) << 4);
    }
  }
};

__global__ void integers(const uint8_t* matrix, const int8_t* a, const float* d_a, float* out) {
  const int row = blockIdx.x * kWarps + threadIdx.x / 32;
  const Place at;
  float total = 0;
  for (int b = at.group; b < kBlocks; b += 4) {
    const uint8_t* block = matrix + (size_t{static_cast<unsigned>(row)} * kBlocks + b) * kBlockBytes;
    const uint4 nibbles = *reinterpret_cast<const uint4*>(block + 16 + 16 * at.eighth);
    const Scales s(block, at.eighth / 2);
    const int4 low = *reinterpret_cast<const int4*>(a + b * 256 + at.first());
    const int4 high = *reinterpret_cast<const int4*>(a + b * 256 + at.first() + 32);
    const uint32_t q[4] = {nibbles.x, nibbles.y, nibbles.z, nibbles.w};
    const int al[4] = {low.x, low.y, low.z, low.w}, ah[4] = {high.x, high.y, high.z, high.w};
    int dot[2] = {0, 0}, sum[2] = {0, 0};
    for (int i = 0; i < 4; ++i) {
      dot[0] = __dp4a(static_cast<int>(q[i] & 0x0f0f0f0f), al[i], dot[0]);
      dot[1] = __dp4a(static_cast<int>(q[i] >> 4 & 0x0f0f0f0f), ah[i], dot[1]);
      sum[0] = __dp4a(0x01010101, al[i], sum[0]);
      sum[1] = __dp4a(0x01010101, ah[i], sum[1]);
    }
    int products = s.scale[0] * dot[0] + s.scale[1] * dot[1],
        minima = s.least[0] * sum[0] + s.least[1] * sum[1];
    for (int step = 4; step > 0; step /= 2) {  // exact over the eight lanes of a super-block
      products += __shfl_xor_sync(~0u, products, step);
      minima += __shfl_xor_sync(~0u, minima, step);
    }
    if (at.eighth == 0) total = fmaf(d_a[b], fmaf(s.d, products, -(s.dmin * minima)), total);
  }
  total = warp_sum(total);
  if (threadIdx.x % 32 == 0) out[row] = total;
}

// Two nibbles at bits 0..3 and 16..19 as halves: 0x6400 | q is 1024 + q.
__device__ __half2 halves(uint32_t q) {
  const uint32_t bits = (q & 0x000f000f) | 0x64006400;
  return __hsub2(*reinterpret_cast<const __half2*>(&bits), __float2half2_rn(1024.0f));
}

// x is permuted within each 8 columns so that pairs match the nibbles 16 bits apart (see permuted()).
__global__ void half_pairs(const uint8_t* matrix, const __half2* x, const float* sums, float* out) {
  const int row = blockIdx.x * kWarps + threadIdx.x / 32;
  const Place at;
  float total = 0;
  for (int b = at.group; b < kBlocks; b += 4) {
    const uint8_t* block = matrix + (size_t{static_cast<unsigned>(row)} * kBlocks + b) * kBlockBytes;
    const uint4 nibbles = *reinterpret_cast<const uint4*>(block + 16 + 16 * at.eighth);
    const Scales s(block, at.eighth / 2);
    const uint32_t q[4] = {nibbles.x, nibbles.y, nibbles.z, nibbles.w};
    for (int part = 0; part < 2; ++part) {
      const int column = at.first() + 32 * part;
      const uint4* words = reinterpret_cast<const uint4*>(x + (b * 256 + column) / 2);
      const uint4 loaded[2] = {words[0], words[1]};
      const __half2* values = reinterpret_cast<const __half2*>(loaded);
      __half2 dot = __float2half2_rn(0);
      for (int i = 0; i < 4; ++i) {
        const uint32_t bits = q[i] >> (4 * part);
        dot = __hfma2(halves(bits), values[2 * i], dot);
        dot = __hfma2(halves(bits >> 8), values[2 * i + 1], dot);
      }
      const float sum = sums[(b * 256 + column) / 16];
      total += s.d * s.scale[part] * (__low2float(dot) + __high2float(dot)) - s.dmin * s.least[part] * sum;
    }
  }
  total = warp_sum(total);
  if (threadIdx.x % 32 == 0) out[row] = total;
}

struct Problem {
  std::vector<uint8_t> matrix = std::vector<uint8_t>(kMatrix);
  std::vector<float> x = std::vector<float>(kK);

  Problem() {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (uint8_t& byte : matrix) byte = static_cast<uint8_t>(random());
    for (size_t block = 0; block < matrix.size(); block += kBlockBytes) {
      const __half scales[2] = {__float2half(0.01f + 0.001f * (random() % 8)), __float2half(0.02f)};
      std::copy_n(reinterpret_cast<const uint8_t*>(scales), 4, &matrix[block]);
    }
    for (float& value : x) value = normal(random);
  }

  double product(int row) const {
    double total = 0;
    for (int b = 0; b < kBlocks; ++b) {
      const uint8_t* block = &matrix[(size_t{static_cast<unsigned>(row)} * kBlocks + b) * kBlockBytes];
      __half d[2];
      std::copy_n(block, 4, reinterpret_cast<uint8_t*>(d));
      for (int k = 0; k < 256; ++k) {
        int scale, least;
        scale_min(block + 4, k / 32, scale, least);
        const int q = block[16 + k / 64 * 32 + k % 32] >> (k / 32 % 2 * 4) & 15;
        const double weight = double(__half2float(d[0])) * scale * q - double(__half2float(d[1])) * least;
        total += weight * x[b * 256 + k];
      }
    }
    return total;
  }
};

// Each word of four bytes holds columns 0..3 in its low nibbles; halves() takes bytes 0 and 2, then 1 and 3.
std::vector<__half> permuted(const std::vector<float>& x) {
  std::vector<__half> out(x.size());
  for (size_t i = 0; i < x.size(); i += 4) {
    const size_t from[4] = {i, i + 2, i + 1, i + 3};
    for (int j = 0; j < 4; ++j) out[i + j] = __float2half(x[from[j]]);
  }
  return out;
}

template <class T>
void upload(bench::Device<T>& to, const std::vector<T>& from) {
  CHECK(cudaMemcpy(to.data, from.data(), from.size() * sizeof(T), cudaMemcpyHostToDevice));
}

// ||out - wanted|| / ||wanted|| over 64 rows; the output was poisoned before.
void check(const char* name, const Problem& problem, const bench::Device<float>& out, double limit) {
  std::vector<float> found(kN);
  CHECK(cudaMemcpy(found.data(), out.data, kN * sizeof(float), cudaMemcpyDeviceToHost));
  double error = 0, norm = 0;
  for (int row = 0; row < kN; row += kN / 64) {
    const double wanted = problem.product(row);
    error += (found[row] - wanted) * (found[row] - wanted), norm += wanted * wanted;
  }
  const double relative = std::sqrt(error / norm);
  if (!(relative < limit)) {
    std::fprintf(stderr, "%s: relative error %g, at most %g\n", name, relative, limit);
    std::exit(1);
  }
  bench::report(name, relative, "relative error");
}

}  // namespace

int main() {
  const Problem problem;
  bench::Device<uint8_t> matrix(kMatrix * kCopies);
  for (int copy = 0; copy < kCopies; ++copy) {
    CHECK(cudaMemcpy(matrix.data + copy * kMatrix, problem.matrix.data(), kMatrix, cudaMemcpyHostToDevice));
  }
  std::vector<int8_t> a(kK);
  std::vector<float> d_a(kBlocks), sums(kK / 16);
  for (int b = 0; b < kBlocks; ++b) {
    float largest = 0;
    for (int k = 0; k < 256; ++k) largest = std::max(largest, std::abs(problem.x[b * 256 + k]));
    d_a[b] = largest / 127;
    for (int k = 0; k < 256; ++k) {
      a[b * 256 + k] = static_cast<int8_t>(std::rint(problem.x[b * 256 + k] * (127 / largest)));
    }
  }
  for (int k = 0; k < kK; ++k) sums[k / 16] += problem.x[k];
  bench::Device<int8_t> device_a(kK);
  bench::Device<float> device_d(kBlocks), device_sums(kK / 16), out(kN);
  bench::Device<__half> device_x(kK);
  upload(device_a, a), upload(device_d, d_a), upload(device_sums, sums),
      upload(device_x, permuted(problem.x));

  const auto run_integers = [&](int i) {
    integers<<<kN / kWarps, 32 * kWarps>>>(matrix.data + i % kCopies * kMatrix, device_a.data, device_d.data,
                                           out.data);
  };
  const auto run_halves = [&](int i) {
    half_pairs<<<kN / kWarps, 32 * kWarps>>>(matrix.data + i % kCopies * kMatrix,
                                             reinterpret_cast<const __half2*>(device_x.data),
                                             device_sums.data, out.data);
  };
  const auto poison = [&] { CHECK(cudaMemset(out.data, 0xff, kN * sizeof(float))); };
  poison(), run_integers(0), check("Q4_K mat-vec, integers", problem, out, 2e-2);
  poison(), run_halves(0), check("Q4_K mat-vec, halves", problem, out, 2e-2);
  for (int round = 0; round < 2; ++round) {  // alternating: the difference between rounds is the noise
    bench::report("Q4_K mat-vec 4096x14336, integers", kMatrix / 1e6 / bench::time_ms(run_integers), "GB/s");
    bench::report("Q4_K mat-vec 4096x14336, halves", kMatrix / 1e6 / bench::time_ms(run_halves), "GB/s");
  }
}
