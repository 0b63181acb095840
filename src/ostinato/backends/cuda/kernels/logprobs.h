// Log-probabilities of a draw: those of its token and of the best, by raw logits.
#pragma once
#include "scores.h"

namespace ostinato::cuda {

// Log softmax, all NaN where a logit is NaN or the highest is infinite.
struct LogSoftmax {
  float highest, log_sum;

  OSTINATO_DEVICE Lane<float> of(const Lane<float>& logit) const { return logit - highest - log_sum; }
};

OSTINATO_DEVICE inline LogSoftmax log_softmax(Work& w, const Candidates& all) {
  Lane<uint64_t> best = uint64_t{0}, mass = uint64_t{0};
  Mask undefined = false;
  all.for_each([&](const Lane<float>& logit, const Lane<int32_t>& id, const Mask&) {
    best = maximum(best, rank_of(logit, id));
    undefined = undefined || logit != logit;
  });
  const float highest = score_of(block_largest(w, best));
  if (block_sum(w, convert<uint64_t>(undefined)) > 0 || !is_finite(highest)) return {highest, kNaN};
  all.for_each([&](const Lane<float>& logit, const Lane<int32_t>&, const Mask& inside) {
    mass += select(inside, mass_of(logit, highest), uint64_t{0});
  });
  return {highest, log(static_cast<float>(block_sum(w, mass)) / kWhole)};
}

// At most kLanes candidates, one per lane, and the place of each among all of them, best first.
struct Top {
  Lane<uint64_t> rank;
  Lane<int32_t> place;
  int32_t count;
};

OSTINATO_DEVICE inline Top sort(Work& w, const Candidates& from) {
  int32_t* counts = reinterpret_cast<int32_t*>(w.shared);  // [kLanes], of each warp
  uint64_t* ranks = reinterpret_cast<uint64_t*>(counts + kLanes);
  counts[w.block_warp] = from.count;
  w.sync();
  const Lane<int32_t> lane = lane_index(), count = load_where(lane < w.block_warps, counts, lane, 0);
  const int32_t before = sum(select(lane < w.block_warp, count, 0)), total = sum(count);
  from.for_each([&](const Lane<float>& score, const Lane<int32_t>& id, const Mask& inside) {
    store_where(inside, ranks, lane + before, rank_of(score, id));
  });
  w.sync();
  const Lane<uint64_t> rank = load_where(lane < total, ranks, lane, uint64_t{0});
  w.sync();  // the next user of shared memory may write
  Lane<int32_t> place = 0;
  for (int32_t i = 0; i < total; ++i) place += convert<int32_t>(value_at(rank, i) > rank);
  return {rank, place, total};
}

// One warp writes the record: -1 and NaN where there is no token.
OSTINATO_DEVICE inline void store_best(Best& best, const Top& top, const Lane<float>& logprob) {
  int32_t* ids = &best.id0;
  float* logprobs = &best.logprob0;
  const Lane<int32_t> lane = lane_index();
  const Mask taken = lane < top.count, empty = lane < kMaxTopLogprobs && !taken;
  store_where(empty, ids, lane, -1);
  store_where(empty, logprobs, lane, kNaN);
  store_where(taken, ids, top.place, id_of(top.rank));
  store_where(taken, logprobs, top.place, logprob);
}
OSTINATO_DEVICE inline void store_none(Best& best) { store_best(best, {0, 0, 0}, Lane<float>(kNaN)); }

// Writes what the slot asked for into `best`; returns the token's log-probability, NaN where none was asked
// for or drawn.
OSTINATO_DEVICE inline float report(Work& w, const DrawAtHand& d, int32_t token, Best& best) {
  if (d.slot.logprobs < 0) {
    if (w.block_warp == 0) store_none(best);
    return kNaN;
  }
  Candidates left = part_of(w, d.logits, d.vocab);
  const LogSoftmax softmax = log_softmax(w, left);
  const int32_t count = minimum(d.slot.logprobs, d.vocab);
  if (count > 0) {
    cut(w, left, d.scratch, static_cast<uint64_t>(count), {false, softmax.highest});
    const Top top = sort(w, left);
    const Lane<int32_t> id = select(lane_index() < top.count, id_of(top.rank), 0);
    if (w.block_warp == 0) store_best(best, top, softmax.of(load(d.logits, id)));
  } else if (w.block_warp == 0) {
    store_none(best);
  }
  return token < 0 ? kNaN : d.logits[token] - softmax.highest - softmax.log_sum;
}

}  // namespace ostinato::cuda
