// sample: one block per draw. What it means is defined by backends/reference/sample.py.
#pragma once
#include "logprobs.h"
#include "philox.h"
#include "scores.h"

namespace ostinato::cuda {
namespace sample {

// What top-k, then top-p, then min-p leave of scores after temperature.
OSTINATO_DEVICE inline Candidates keep(Work& w, const DrawAtHand& d, float highest) {
  const Slot& s = d.slot;
  Candidates left = part_of(w, d.scratch.scores, d.vocab);
  if (s.top_k > 0 && s.top_k < d.vocab) cut(w, left, d.scratch, s.top_k, {false, highest});
  if (s.top_p < 1) {
    const Amount mass{true, highest};
    Lane<uint64_t> total = uint64_t{0};
    left.for_each([&](const Lane<float>& score, const Lane<int32_t>&, const Mask& inside) {
      total += select(inside, mass.of(score), uint64_t{0});
    });
    const double share = static_cast<double>(s.top_p) * static_cast<double>(block_sum(w, total));
    cut(w, left, d.scratch, maximum(static_cast<uint64_t>(share), uint64_t{1}), mass);
  }
  if (s.min_p > 0) {
    left.narrow(d.scratch, [&](const Lane<float>& score, const Lane<int32_t>&) {
      return exp(score - highest) >= s.min_p;
    });
  }
  return left;
}

// The candidate whose score and noise are the greatest together. A token's noise depends on its id alone, so
// that it matters to no other token which of them are left.
OSTINATO_DEVICE inline int32_t pick(Work& w, const DrawAtHand& d, const Candidates& from) {
  Lane<uint64_t> best = uint64_t{0};
  Lane<float> reached = kNoScore;
  from.for_each([&](const Lane<float>& score, const Lane<int32_t>& id, const Mask& inside) {
    if (!any(inside && score + kMostNoise >= reached)) return;  // no noise makes one of these the best
    const Counter counter = {{static_cast<uint32_t>(d.draw.position), static_cast<uint32_t>(d.slot.choice),
                              convert<uint32_t>(id), 0u}};
    const Counter random =
        philox(counter, static_cast<uint32_t>(d.slot.seed_low), static_cast<uint32_t>(d.slot.seed_high));
    const Lane<float> total = select(inside, score + gumbel(random.word[0]), kNoScore);
    best = maximum(best, select(inside, rank_of(total, id), uint64_t{0}));
    reached = maximum(reached, total);
  });
  return id_of(block_largest(w, best));
}

// The token, or kNoNumber where no score is a number.
OSTINATO_DEVICE inline int32_t choose(const Machine& m, Work& w, const DrawAtHand& d) {
  const uint64_t best = prepare_scores(m, w, d);
  const float highest = score_of(best) / d.slot.temperature;
  if (score_of(best) == kNoScore) return kNoNumber;
  if (d.slot.temperature == 0 || !is_finite(highest)) return id_of(best);  // the draw is certain
  part_of(w, d.scratch.scores, d.vocab)
      .for_each([&](const Lane<float>& score, const Lane<int32_t>& id, const Mask& inside) {
        store_where(inside, d.scratch.scores, id, score / d.slot.temperature);
      });
  return pick(w, d, keep(w, d, highest));
}

// The value of every logit row that no draw names is kNoNumber.
OSTINATO_DEVICE inline void mark_undrawn(const call::Sample& c, const Machine& m, const Work& w) {
  const Step& step = m.step();
  for (int32_t first = w.warp * kLanes; first < step.logit_rows; first += w.warps * kLanes) {
    const Lane<int32_t> row = lane_index() + first;
    Mask undrawn = row < step.logit_rows;
    for (int32_t i = 0; i < step.draws; ++i) undrawn = undrawn && row != m.draw(i).row;
    store_where(undrawn, m.ints(c.tokens), row, kNoNumber);
  }
}

OSTINATO_DEVICE inline void one(const call::Sample& c, const Machine& m, Work& w, int32_t number) {
  const Draw& draw = m.draw(number);
  const Slot& slot = m.slot(draw.slot);
  Drawn& drawn = m.drawn(m.step().step, number);
  Best& best = m.best(m.step().step, number);
  if (draw.position == kInactive) {
    if (w.block_warp == 0) {
      drawn = {draw.slot, kInactive, kNothing, kNaN};
      m.ints(c.tokens)[draw.row] = kNoNumber;
      store_none(best);
    }
    return;
  }
  const int64_t row = static_cast<int64_t>(draw.row) * c.vocab,
                scratch = static_cast<int64_t>(number) * c.vocab;
  const DrawAtHand d{draw,
                     slot,
                     m.floats(c.logits) + row,
                     c.vocab,
                     {m.floats(c.scores) + scratch, m.ints(c.counts) + scratch}};
  const int32_t token = choose(m, w, d);
  const float logprob = report(w, d, token, best);
  if (w.block_warp != 0) return;
  drawn = {draw.slot, draw.position, token, logprob};
  m.ints(c.tokens)[draw.row] = token;
  m.history(draw.slot)[draw.position] = maximum(token, 0);
}

}  // namespace sample

OSTINATO_DEVICE inline void run(const call::Sample& c, const Machine& m, Work& w) {
  sample::mark_undrawn(c, m, w);
  for (int32_t number = w.block; number < m.step().draws; number += w.blocks) sample::one(c, m, w, number);
}

}  // namespace ostinato::cuda
