// route, group, experts, combine: mixtures of experts, computed expert by expert.
#include <algorithm>
#include <cmath>
#include <utility>

#include "cpu/machine.h"

namespace ostinato::cpu {
namespace {

// Router logits -> probabilities, in place.
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

// The top_k best (ties: lower id first) and their weights.
// A chosen score becomes -1, below every probability.
void choose(const op::Route& i, float* scores, int64_t n, int32_t* ids, float* weights) {
  float sum = 0;
  for (int32_t j = 0; j < i.top_k; ++j) {
    ids[j] = static_cast<int32_t>(std::max_element(scores, scores + n) - scores);
    weights[j] = scores[ids[j]];
    scores[ids[j]] = -1;
    sum += weights[j];
  }
  for (int32_t j = 0; j < i.top_k; ++j) weights[j] = (i.normalise ? weights[j] / sum : weights[j]) * i.scale;
}

// One `experts` in progress. "Sorted" rows are assignments in the order of (kind, expert).
class ExpertStep {
 public:
  ExpertStep(const op::Experts& i, Machine& m)
      : i_(i),
        m_(m),
        gate_(m.weight(i.gate)),
        up_(m.weight(i.up)),
        down_(m.weight(i.down)),
        assignments_(m.count(i.order)),
        top_k_(assignments_ / m.count(i.x)),
        order_(m.data<int32_t>(i.order)),
        offsets_(m.data<int32_t>(i.offsets)) {}

  void run() {
    find_active();
    m_.by_rows(assignments_, 2 * gate_.k, [&](int64_t sorted) { pack_input(sorted); });
    by_outputs(hidden(),
               [&](int32_t bucket, int64_t first, int64_t count, int) { enter(bucket, first, count); });
    m_.by_rows(assignments_, 8 * hidden(), [&](int64_t sorted) { activate(sorted); });
    by_outputs(m_.width(i_.out), [&](int32_t bucket, int64_t first, int64_t count, int thread) {
      leave(bucket, first, count, thread);
    });
  }

 private:
  int64_t hidden() const { return down_.k; }
  int64_t bytes(const Weight& weight) const { return m_.kernels.packed_bytes(weight.type, weight.k); }
  bool one_packing() const { return m_.kernels.packing(gate_.type) == m_.kernels.packing(up_.type); }
  const uint8_t* up_input() const {
    return (one_packing() ? m_.scratch.experts.gate_input : m_.scratch.experts.up_input).data();
  }

  void find_active() {
    for (int32_t bucket = 0; bucket < 2 * gate_.experts; ++bucket) {
      if (offsets_[bucket] < offsets_[bucket + 1]) m_.scratch.experts.active[active_++] = bucket;
    }
  }

  // Calls body(bucket, first output, count, thread) for all outputs of all buckets that have rows.
  template <class Body>
  void by_outputs(int64_t outputs, Body body) {
    const int64_t parts = (outputs + kExpertOutputs - 1) / kExpertOutputs;
    m_.share(active_ * parts, assignments_ * hidden() * gate_.k, [&](int64_t task, int thread) {
      const int64_t first = task % parts * kExpertOutputs;
      body(m_.scratch.experts.active[task / parts], first, std::min(kExpertOutputs, outputs - first), thread);
    });
  }

  void pack_input(int64_t sorted) {
    ExpertScratch& s = m_.scratch.experts;
    const float* x = m_.row(i_.x, order_[sorted] / top_k_);
    m_.kernels.pack(gate_.type, x, gate_.k, s.gate_input.data() + sorted * bytes(gate_));
    if (!one_packing()) m_.kernels.pack(up_.type, x, up_.k, s.up_input.data() + sorted * bytes(up_));
  }

  // Outputs of gate and up for the rows of a bucket.
  void enter(int32_t bucket, int64_t first, int64_t count) {
    ExpertScratch& s = m_.scratch.experts;
    const int64_t begin = offsets_[bucket], rows = offsets_[bucket + 1] - begin;
    const int64_t weight_row = bucket % gate_.experts * hidden() + first, out = begin * hidden() + first;
    multiply(m_.kernels, gate_, weight_row, count, s.gate_input.data() + begin * bytes(gate_), rows,
             s.gate.data() + out, hidden());
    multiply(m_.kernels, up_, weight_row, count, up_input() + begin * bytes(up_), rows, s.up.data() + out,
             hidden());
  }

  void activate(int64_t sorted) {
    ExpertScratch& s = m_.scratch.experts;
    float* gate = s.gate.data() + sorted * hidden();
    m_.vectors.glu(static_cast<Activation>(i_.act), gate, s.up.data() + sorted * hidden(), hidden(), gate);
    m_.kernels.pack(down_.type, gate, hidden(), s.down_input.data() + sorted * bytes(down_));
  }

  // Outputs of down, each row put at its assignment.
  void leave(int32_t bucket, int64_t first, int64_t count, int thread) {
    ExpertScratch& s = m_.scratch.experts;
    float* tile = s.tile.data() + thread * kExpertRows * kExpertOutputs;
    const int64_t weight_row = bucket % gate_.experts * m_.width(i_.out) + first;
    for (int64_t at = offsets_[bucket]; at < offsets_[bucket + 1]; at += kExpertRows) {
      const int64_t rows = std::min<int64_t>(kExpertRows, offsets_[bucket + 1] - at);
      multiply(m_.kernels, down_, weight_row, count, s.down_input.data() + at * bytes(down_), rows, tile,
               kExpertOutputs);
      for (int64_t row = 0; row < rows; ++row) {
        std::copy_n(tile + row * kExpertOutputs, count, m_.row(i_.out, order_[at + row]) + first);
      }
    }
  }

  const op::Experts& i_;
  Machine& m_;
  const Weight &gate_, &up_, &down_;
  const int64_t assignments_, top_k_;
  const int32_t* order_;
  const int32_t* offsets_;
  int64_t active_ = 0;
};

}  // namespace

void run(const op::Route& i, Machine& m) {
  const Weight& router = m.weight(i.router);
  const int64_t experts = router.rows;
  linear(m, i.x, router, nullptr, m.scratch.router.data());
  m.by_rows(m.count(i.x), (i.top_k + 8) * experts, [&](int64_t row) {
    float* scores = m.scratch.router.data() + row * experts;
    score(m, static_cast<Scoring>(i.scoring), scores, experts);
    choose(i, scores, experts, m.row<int32_t>(i.ids, row), m.row(i.weights, row));
  });
}

// A counting sort. offsets[b + 1] counts bucket b, then becomes its first free place, and ends as its end.
void run(const op::Group& i, Machine& m) {
  const int64_t rows = m.count(i.ids), top_k = m.width(i.ids), prompt = m.prompt_count(i.ids);
  const int32_t* ids = m.data<int32_t>(i.ids);
  int32_t *order = m.data<int32_t>(i.order), *offsets = m.data<int32_t>(i.offsets);
  const auto bucket = [&](int64_t a) { return ids[a] + (a / top_k >= prompt ? i.experts : 0); };
  std::fill_n(offsets, 2 * i.experts + 1, 0);
  for (int64_t a = 0; a < rows * top_k; ++a) ++offsets[bucket(a) + 1];
  int32_t before = 0;
  for (int32_t b = 0; b < 2 * i.experts; ++b) before += std::exchange(offsets[b + 1], before);
  for (int64_t a = 0; a < rows * top_k; ++a) order[offsets[bucket(a) + 1]++] = static_cast<int32_t>(a);
}

void run(const op::Experts& i, Machine& m) {
  if (m.count(i.x) > 0) ExpertStep(i, m).run();
}

void run(const op::Combine& i, Machine& m) {
  const int64_t top_k = m.width(i.weights), width = m.width(i.out);
  m.by_rows(m.count(i.out), top_k * width, [&](int64_t row) {
    float* out = m.row(i.out, row);
    std::fill_n(out, width, 0.0f);
    for (int64_t j = 0; j < top_k; ++j) {
      m.vectors.add_scaled(m.row(i.weights, row)[j], m.row(i.e, row * top_k + j), width, out);
    }
  });
}

}  // namespace ostinato::cpu
