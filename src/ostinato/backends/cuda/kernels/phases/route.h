// route: the best experts of each row and their weights. A warp per row.
//
// Scores replace the logits where they stand; a lane only ever touches its own elements of them.
#pragma once
#include "machine.h"
#include "order.h"

namespace ostinato::cuda {
namespace route {

// Calls f(index, inside) for the elements of a row, a lane's own in order.
template <class F>
OSTINATO_DEVICE inline void for_each(int32_t experts, F f) {
  for (int32_t first = 0; first < experts; first += kLanes) {
    const Lane<int32_t> index = lane_index() + first;
    f(select(index < experts, index, 0), index < experts);
  }
}

OSTINATO_DEVICE inline void softmax(float* row, int32_t experts) {
  Lane<float> most = -kInfinity, total = 0.0f;
  for_each(experts, [&](const Lane<int32_t>& i, const Mask&) {
    const Lane<float> logit = load(row, i);  // lanes outside repeat the first
    most = maximum(most, logit);
  });
  const float highest = largest(most);
  for_each(experts, [&](const Lane<int32_t>& i, const Mask& inside) {
    const Lane<float> weight = exp(load_where(inside, row, i, 0.0f) - highest);
    total += select(inside, weight, 0.0f);
    store_where(inside, row, i, weight);
  });
  const float whole = sum(total);
  for_each(experts, [&](const Lane<int32_t>& i, const Mask& inside) {
    store_where(inside, row, i, load_where(inside, row, i, 0.0f) / whole);
  });
}

OSTINATO_DEVICE inline void sigmoid(float* row, int32_t experts) {
  for_each(experts, [&](const Lane<int32_t>& i, const Mask& inside) {
    store_where(inside, row, i, 1.0f / (1.0f + exp(-load_where(inside, row, i, 0.0f))));
  });
}

// The best rank below `last`.
OSTINATO_DEVICE inline uint64_t next(const float* row, int32_t experts, uint64_t last) {
  Lane<uint64_t> best = uint64_t{0};
  for_each(experts, [&](const Lane<int32_t>& i, const Mask& inside) {
    const Lane<uint64_t> rank = rank_of(load_where(inside, row, i, 0.0f), i);
    best = select(inside && rank < last && rank > best, rank, best);
  });
  return largest(best);
}

}  // namespace route

OSTINATO_DEVICE inline void run(const call::Route& c, const Machine& m, Work& w) {
  for (int32_t row = w.warp; row < m.rows(c.axis, c.factor); row += w.warps) {
    float* scores = m.floats(c.logits) + static_cast<int64_t>(row) * c.experts;
    int32_t* ids = m.ints(c.ids) + static_cast<int64_t>(row) * c.top_k;
    float* weights = m.floats(c.weights) + static_cast<int64_t>(row) * c.top_k;
    if (c.scoring == static_cast<int32_t>(Scoring::kSoftmax)) {
      route::softmax(scores, c.experts);
    } else {
      route::sigmoid(scores, c.experts);
    }
    sync_warp();  // every lane reads the chosen scores
    uint64_t rank = ~uint64_t{0};
    float total = 0;
    for (int32_t j = 0; j < c.top_k; ++j) {
      rank = route::next(scores, c.experts, rank);
      ids[j] = id_of(rank);
      total += scores[id_of(rank)];
    }
    sync_warp();  // every lane reads the ids
    const float divisor = c.normalise ? total : 1.0f;
    for (int32_t first = 0; first < c.top_k; first += kLanes) {
      const Lane<int32_t> j = lane_index() + first;
      const Mask inside = j < c.top_k;
      const Lane<float> score = load(scores, load_where(inside, ids, j, 0));
      store_where(inside, weights, j, score / divisor * c.scale);
    }
  }
}

}  // namespace ostinato::cuda
