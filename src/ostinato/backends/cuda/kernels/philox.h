// Random numbers from a counter: Philox4x32-10 (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3,
// 2011). RNG(seed, choice, position, draw), as backends/reference/rng.py defines it.
#pragma once
#include "warp.h"

namespace ostinato::cuda {

struct Counter {
  Lane<uint32_t> word[4];
};

OSTINATO_DEVICE inline Counter philox(Counter c, uint32_t key0, uint32_t key1) {
  constexpr uint32_t kMultiplier0 = 0xD2511F53u, kMultiplier1 = 0xCD9E8D57u;
  constexpr uint32_t kWeyl0 = 0x9E3779B9u, kWeyl1 = 0xBB67AE85u;
  constexpr int32_t kRounds = 10;
  for (int32_t round = 0; round < kRounds; ++round) {
    const Lane<uint32_t> high0 = multiply_high(c.word[0], kMultiplier0), low0 = c.word[0] * kMultiplier0;
    const Lane<uint32_t> high1 = multiply_high(c.word[2], kMultiplier1), low1 = c.word[2] * kMultiplier1;
    c = {{high1 ^ c.word[1] ^ key0, low1, high0 ^ c.word[3] ^ key1, low0}};
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
  return c;
}

// In (0, 1), never an end of it: the upper 23 bits of a word, at the middle of their interval.
OSTINATO_DEVICE inline Lane<float> uniform(const Lane<uint32_t>& word) {
  constexpr float kInterval = 1.0f / (1 << 23);
  return (convert<float>(word >> 9) + 0.5f) * kInterval;
}

// -log(-log(u)) of a uniform u; at most 16.64.
OSTINATO_DEVICE inline Lane<float> gumbel(const Lane<uint32_t>& word) { return -log(-log(uniform(word))); }
constexpr float kMostNoise = 17;

}  // namespace ostinato::cuda
