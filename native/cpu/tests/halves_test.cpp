// Every float16 to float32 and back, and the rounding of what lies between two of them: as blocks.h spells it
// out.
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "cpu/kernels/blocks.h"
#include "cpu/vectors.h"
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define LANE_INLINE inline __attribute__((always_inline))

namespace lanes {
namespace {
#include "cpu/isa/lanes.h"
}  // namespace
}  // namespace lanes

namespace {

using namespace ostinato::cpu;

void expect(bool condition, float x) {
  if (condition) return;
  std::fprintf(stderr, "halves_test: %a\n", static_cast<double>(x));
  std::exit(1);
}

// All of 21 elements: whole vectors of any machine, and a rest.
void rounds_to(float x, uint16_t half) {
  constexpr int kCount = 21;
  float in[kCount];
  uint16_t out[kCount];
  for (float& value : in) value = x;
  vectors_for(Isa::kPortable)->to_half(in, kCount, out);
  for (const uint16_t found : out) expect(found == half, x);
}

void loads(uint16_t half, float x) {
  uint16_t in[lanes::kLanes];
  for (uint16_t& value : in) value = half;
  const lanes::F16x out = lanes::load_half(in);
  for (int i = 0; i < lanes::kLanes; ++i)
    expect(std::bit_cast<uint32_t>(out[i]) == std::bit_cast<uint32_t>(x) ||
               (std::isnan(out[i]) && std::isnan(x)),
           x);
}

// Between magnitude h and the next one, which is even where h is odd; infinity follows the largest as 2^16
// would.
void rounds_between(uint16_t h, uint16_t sign) {
  const float factor = sign ? -1.0f : 1.0f, low = from_half(h);
  const float high = h == 0x7bff ? 65536.0f : from_half(static_cast<uint16_t>(h + 1)),
              middle = (low + high) / 2;
  const auto up = static_cast<uint16_t>(sign | (h + 1)), down = static_cast<uint16_t>(sign | h);
  rounds_to(factor * middle, h % 2 ? up : down);
  rounds_to(factor * std::nextafter(middle, high), up);
  rounds_to(factor * std::nextafter(middle, low), down);
}

}  // namespace

int main() {
  for (int bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float x = from_half(half);
    loads(half, x);
    if (!std::isnan(x)) rounds_to(x, half);
    if ((half & 0x7fff) < 0x7c00) rounds_between(half & 0x7fff, half & 0x8000);
  }
  std::puts("ok");
}
