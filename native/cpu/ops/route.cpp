// route: which experts a row goes to, and their weights.
#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu/machine.h"

namespace ostinato::cpu {
namespace {

constexpr float kOut = -std::numeric_limits<float>::infinity();  // no longer to be chosen

// Router logits -> scores, in place.
void score(const Machine& m, Scoring scoring, float* x, int64_t n) {
  if (scoring == Scoring::kSigmoid) {
    for (int64_t e = 0; e < n; ++e) x[e] = 1.0f / (1.0f + std::exp(-x[e]));
    return;
  }
  m.vectors.exp(x, m.vectors.max(x, n), n, x);
  float sum = 0;
  for (int64_t e = 0; e < n; ++e) sum += x[e];
  for (int64_t e = 0; e < n; ++e) x[e] /= sum;
}

// Its best expert, or the sum of its two best.
float group_total(GroupScore how, const float* wanted, int64_t n) {
  float best = kOut, second = kOut;
  for (int64_t e = 0; e < n; ++e) {
    second = std::max(second, std::min(best, wanted[e]));
    best = std::max(best, wanted[e]);
  }
  return how == GroupScore::kMax ? best : best + second;
}

// Takes all but the top_groups best groups out (ties: lower group first). A group is out once `better` are
// before it.
void keep_groups(const op::Route& i, float* wanted, int64_t n, float* totals) {
  const int64_t size = n / i.groups;
  for (int64_t g = 0; g < i.groups; ++g) {
    totals[g] = group_total(static_cast<GroupScore>(i.group_score), wanted + g * size, size);
  }
  for (int64_t g = 0; g < i.groups; ++g) {
    int64_t better = 0;
    for (int64_t other = 0; other < i.groups; ++other) {
      better += totals[other] > totals[g] || (totals[other] == totals[g] && other < g);
    }
    if (better >= i.top_groups) std::fill_n(wanted + g * size, size, kOut);
  }
}

// The top_k most wanted (ties: lower id first) and their weights.
void choose(const op::Route& i, const float* scores, const float* gain, float* wanted, int64_t n,
            int32_t* ids, float* weights) {
  float sum = 0;
  for (int32_t j = 0; j < i.top_k; ++j) {
    ids[j] = static_cast<int32_t>(std::max_element(wanted, wanted + n) - wanted);
    wanted[ids[j]] = kOut;
    weights[j] = scores[ids[j]];
    sum += weights[j];
  }
  sum = std::max(sum, i.floor);
  for (int32_t j = 0; j < i.top_k; ++j) {
    weights[j] = (i.normalise ? weights[j] / sum : weights[j]) * i.scale;
    if (gain != nullptr) weights[j] *= gain[ids[j]];
  }
}

}  // namespace

void run(const op::Route& i, Machine& m) {
  const int64_t experts = m.weight(i.router).rows;
  const float *correction = m.vector(i.correction), *gain = m.vector(i.gain);
  linear(m, i.x, m.weight(i.router), m.vector(i.bias), nullptr, m.scratch.router.data());
  m.by_rows(m.count(i.x), (i.top_k + 8) * experts, [&](int64_t row) {
    float* scores = m.scratch.router.data() + row * experts;
    float* wanted = m.scratch.wanted.data() + row * experts;
    score(m, static_cast<Scoring>(i.scoring), scores, experts);
    std::copy_n(scores, experts, wanted);
    if (correction != nullptr) m.vectors.add(scores, correction, 1, experts, wanted);
    if (i.groups > 1) keep_groups(i, wanted, experts, m.scratch.totals.data() + row * experts);
    choose(i, scores, gain, wanted, experts, m.row<int32_t>(i.ids, row), m.row(i.weights, row));
  });
}

}  // namespace ostinato::cpu
