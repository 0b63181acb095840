#include "cpu/candidates.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

namespace ostinato::cpu {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();
constexpr int64_t kFew = 32;  // keys that are sorted outright

// How many of the best keys are preceded by less than `limit` of exp(score - highest) each; they come first.
int64_t select_mass(uint64_t* keys, int64_t n, float highest, double limit) {
  const auto weight = [&](uint64_t key) { return static_cast<double>(std::exp(score_of(key) - highest)); };
  int64_t low = 0, high = n;  // keys before low are kept, those from high on are not
  double before = 0;          // mass of the keys before low
  while (high - low > kFew) {
    const int64_t middle = low + (high - low) / 2;
    std::nth_element(keys + low, keys + middle, keys + high, std::greater<>());
    double mass = 0;
    for (int64_t i = low; i < middle; ++i) mass += weight(keys[i]);
    if (before + mass >= limit) {
      high = middle;
    } else {
      before += mass, low = middle;
    }
  }
  std::sort(keys + low, keys + high, std::greater<>());
  while (low < high && before < limit) before += weight(keys[low++]);
  return std::max(low, std::min<int64_t>(n, 1));  // the best one always stays
}

Candidates from_keys(SampleScratch& s, int64_t count) {
  for (int64_t i = 0; i < count; ++i) s.kept[i] = score_of(s.keys[i]), s.ids[i] = id_of(s.keys[i]);
  return {s.kept.data(), s.ids.data(), count};
}

// Those of the candidates whose score is at least `least`, as keys; returns how many.
int64_t keys_above(const Candidates& from, float least, uint64_t* keys) {
  int64_t count = 0;
  for (int64_t i = 0; i < from.count; ++i) {
    if (!(from.scores[i] >= least)) continue;
    keys[count++] = key_of(from.scores[i], from.ids != nullptr ? from.ids[i] : static_cast<int32_t>(i));
  }
  return count;
}

// Tokens whose weight is below (1 - p) / n of the total weigh less than 1 - p together, so none of them is
// kept: only the others are looked at in order.
Candidates keep_top_p(const Vectors& vectors, const Candidates& from, float highest, float top_p,
                      SampleScratch& s) {
  const float total = vectors.sum_exp(from.scores, highest, from.count);
  const float light = (1.0f - top_p) * total / static_cast<float>(from.count);
  const float least = highest + std::log(std::max(light, std::numeric_limits<float>::min())) - 0.01f;
  const int64_t count = keys_above(from, least, s.keys.data());
  return from_keys(s, select_mass(s.keys.data(), count, highest, static_cast<double>(top_p) * total));
}

Candidates keep_min_p(const Candidates& from, float highest, float min_p, SampleScratch& s) {
  int64_t count = 0;
  for (int64_t i = 0; i < from.count; ++i) {
    if (!(std::exp(from.scores[i] - highest) >= min_p)) continue;
    const int32_t id = from.ids != nullptr ? from.ids[i] : static_cast<int32_t>(i);
    s.kept[count] = from.scores[i], s.ids[count++] = id;  // in place: count <= i
  }
  return {s.kept.data(), s.ids.data(), count};
}

}  // namespace

uint64_t key_of(float score, int32_t id) {
  const uint32_t bits = std::bit_cast<uint32_t>(score);
  const uint32_t ordered = bits >> 31 ? ~bits : bits | 0x80000000u;
  return uint64_t{ordered} << 32 | (0xffffffffu - static_cast<uint32_t>(id));
}

float score_of(uint64_t key) {
  const auto ordered = static_cast<uint32_t>(key >> 32);
  return std::bit_cast<float>(ordered >> 31 ? ordered & 0x7fffffffu : ~ordered);
}

int32_t id_of(uint64_t key) { return static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(key)); }

int64_t select_best(const float* scores, int64_t n, int64_t k, uint64_t* keys) {
  const int64_t room = std::min(n, std::max<int64_t>(2 * k, 256));
  int64_t count = 0;
  float threshold = kNone;  // k scores of lower ids are at least this
  const auto prune = [&] {
    std::nth_element(keys, keys + k - 1, keys + count, std::greater<>());
    threshold = score_of(keys[k - 1]);
    count = k;
  };
  for (int64_t i = 0; i < n; ++i) {
    if (!(scores[i] > threshold)) continue;
    if (count == room) prune();
    if (scores[i] > threshold) keys[count++] = key_of(scores[i], static_cast<int32_t>(i));
  }
  if (count > k) prune();
  return count;
}

Candidates keep(const Vectors& vectors, const Enter& settings, int64_t vocab, SampleScratch& s) {
  Candidates left{s.scores.data(), nullptr, vocab};
  if (settings.top_k > 0 && settings.top_k < vocab) {
    left = from_keys(s, select_best(s.scores.data(), vocab, settings.top_k, s.keys.data()));
  }
  if (left.count == 0) return left;
  const float highest = vectors.max(left.scores, left.count);
  if (settings.top_p < 1) left = keep_top_p(vectors, left, highest, settings.top_p, s);
  if (settings.min_p > 0) left = keep_min_p(left, highest, settings.min_p, s);
  return left;
}

}  // namespace ostinato::cpu
