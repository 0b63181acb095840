// What becomes of a draw's logits before a token is chosen: bias, penalties, mask; NaN counts as -infinity.
#pragma once
#include "candidates.h"

namespace ostinato::cuda {

// One draw, by one block.
struct DrawAtHand {
  const Draw& draw;
  const Slot& slot;
  const float* logits;  // [vocab]
  int32_t vocab;
  Scratch scratch;

  OSTINATO_DEVICE bool repeats() const { return slot.repetition != 1; }
  OSTINATO_DEVICE bool counts() const { return slot.presence != 0 || slot.frequency != 0; }
  OSTINATO_DEVICE bool adjusts() const { return slot.bias_count > 0 || repeats() || counts(); }
};

// Occurrences of a token, in the place where ids of candidates will stand: how often it was generated, and
// whether it is in the history at all.
constexpr int32_t kSeen = 1 << 30;

// scores = logits, and no occurrences.
OSTINATO_DEVICE inline void copy_logits(const Work& w, const DrawAtHand& d) {
  part_of(w, d.logits, d.vocab)
      .for_each([&](const Lane<float>& logit, const Lane<int32_t>& id, const Mask& inside) {
        store_where(inside, d.scratch.scores, id, logit);
        store_where(inside, d.scratch.ids, id, 0);
      });
}

// A token that is named several times gets all its biases, in order, from the lane that names it first.
OSTINATO_DEVICE inline void add_bias(const Machine& m, const Work& w, const DrawAtHand& d) {
  const int32_t* pairs = m.bias(d.draw.slot);
  for (int32_t first = w.block_warp * kLanes; first < d.slot.bias_count; first += w.block_warps * kLanes) {
    const Lane<int32_t> own = lane_index() + first;
    Mask naming = own < d.slot.bias_count;
    const Lane<int32_t> token = load_where(naming, pairs, 2 * own, 0);
    Lane<float> score = load(d.logits, token);
    for (int32_t i = 0; i < d.slot.bias_count; ++i) {
      const Mask same = token == pairs[2 * i];
      naming = naming && !(same && own > i);
      score = select(same, score + bits<float>(pairs[2 * i + 1]), score);
    }
    store_where(naming, d.scratch.scores, token, score);
  }
}

OSTINATO_DEVICE inline void count_history(const Machine& m, const Work& w, const DrawAtHand& d) {
  const int32_t* history = m.history(d.draw.slot);
  const int32_t begin = d.repeats() ? 0 : d.slot.prompt_length, end = d.draw.position;
  for (int32_t first = begin + w.block_warp * kLanes; first < end; first += w.block_warps * kLanes) {
    const Lane<int32_t> position = lane_index() + first;
    const Mask inside = position < end;
    const Lane<int32_t> token = load_where(inside, history, position, 0);
    atomic_or_where(inside, d.scratch.ids, token, kSeen);
    atomic_add_where(inside && position >= d.slot.prompt_length, d.scratch.ids, token, 1);
  }
}

OSTINATO_DEVICE inline Lane<float> penalised(const DrawAtHand& d, Lane<float> score,
                                             const Lane<int32_t>& id) {
  const Lane<int32_t> occurrences = load(d.scratch.ids, id), generated = occurrences & (kSeen - 1);
  if (d.repeats()) {
    const Lane<float> weaker = select(score > 0.0f, score / d.slot.repetition, score * d.slot.repetition);
    score = select(occurrences != 0, weaker, score);
  }
  if (d.counts()) {
    const Lane<float> less = score - d.slot.presence - d.slot.frequency * convert<float>(generated);
    score = select(generated != 0, less, score);
  }
  return score;
}

// Scores into the scratch; returns the rank of the best.
OSTINATO_DEVICE inline uint64_t prepare_scores(const Machine& m, Work& w, const DrawAtHand& d) {
  if (d.adjusts()) {
    copy_logits(w, d);
    w.sync();
    add_bias(m, w, d);
    if (d.repeats() || d.counts()) count_history(m, w, d);
    w.sync();
  }
  Lane<uint64_t> best = uint64_t{0};
  const Candidates all = part_of(w, d.adjusts() ? d.scratch.scores : d.logits, d.vocab);
  all.for_each([&](const Lane<float>& logit, const Lane<int32_t>& id, const Mask& inside) {
    Lane<float> score = d.adjusts() ? penalised(d, logit, id) : logit;
    Mask allowed = score == score;
    if (d.draw.mask != kNoMask) {
      const Lane<uint32_t> word = bits<uint32_t>(load(m.packet + d.draw.mask, id / 32));
      allowed = allowed && (word >> convert<uint32_t>(id % 32) & 1u) != 0u;
    }
    score = select(allowed, score, kNoScore);
    store_where(inside, d.scratch.scores, id, score);
    best = maximum(best, select(inside, rank_of(score, id), uint64_t{0}));
  });
  return block_largest(w, best);
}

}  // namespace ostinato::cuda
