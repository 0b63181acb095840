// Encodes random values, hostile ones among them, to every type, between guards of the exact size; for the
// sanitizers.
//
//   fuzz_test SEED ROUNDS      prints how many runs of values were encoded whole
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>

#include "quantize/quantize.h"

using namespace ostinato;
using namespace ostinato::quantize;

namespace {

// Of any bits, of sizes far apart, or all of one size.
float random_value(std::mt19937& rng, int mood) {
  if (mood == 0) return std::bit_cast<float>(static_cast<uint32_t>(rng()));
  const float unit = std::uniform_real_distribution<float>(-1, 1)(rng);
  return mood == 1 ? std::ldexp(unit, static_cast<int>(rng() % 200) - 160) : unit;
}

bool encode_once(std::mt19937& rng, const Encoder& encoder) {
  const BlockShape shape = block_shape(encoder.type);
  const int64_t blocks = 1 + rng() % (2 * kChunk / shape.elements), count = blocks * shape.elements;
  const auto bytes = static_cast<size_t>(4 * count);
  const std::unique_ptr<uint8_t[]> source(new uint8_t[bytes + 1]), out(new uint8_t[blocks * shape.bytes]);
  const int mood = static_cast<int>(rng() % 4), odd = static_cast<int>(rng() % 2);
  for (int64_t i = 0; i < count; ++i) {
    const float value = random_value(rng, mood);
    std::memcpy(source.get() + odd + 4 * i, &value, sizeof(value));
  }
  return encode({TensorType::kF32, source.get() + odd}, count, encoder, 1 + mood % 2, out.get()) < 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::mt19937 rng(static_cast<unsigned>(std::atoi(argv[1])));
  int count = 0, whole = 0;
  const Level& level = *levels(&count)[0];
  for (int round = 0; round < std::atoi(argv[2]); ++round)
    for (int i = 0; i < level.count; ++i) whole += encode_once(rng, level.encoders[i]);
  std::printf("%d\n", whole);
}
