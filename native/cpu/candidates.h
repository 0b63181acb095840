// Which tokens top-k, top-p and min-p leave, without sorting the vocabulary and without allocating.
#pragma once
#include <cstdint>

#include "cpu/scratch.h"
#include "cpu/vectors.h"

namespace ostinato::cpu {

// A score and its token as one integer: greater is better, and of equal scores the lower id is.
uint64_t key_of(float score, int32_t id);
float score_of(uint64_t key);
int32_t id_of(uint64_t key);

// Puts the k best of n scores (fewer where others are -inf)
// at the front of `keys` [n], unordered; returns how many.
int64_t select_best(const float* scores, int64_t n, int64_t k, uint64_t* keys);

// Tokens to draw among: scores [count], and their ids; null ids mean 0 .. count.
struct Candidates {
  const float* scores;
  const int32_t* ids;
  int64_t count;
};

// What top_k (0: all), then top_p, then min_p leave of scratch.scores [vocab], which are after temperature.
// The definition is `keep` in backends/reference/sample.py. Uses scratch.kept, ids and keys.
Candidates keep(const Vectors& vectors, const Enter& settings, int64_t vocab, SampleScratch& scratch);

}  // namespace ostinato::cpu
