// Tokens to choose among, and where top-k and top-p cut them off, without sorting a vocabulary.
//
// Every warp of a block keeps a part of the candidates. What is compared and added are integers, so neither
// the parts nor the order within them change a result.
#pragma once
#include "block.h"
#include "order.h"
#include "scan.h"

namespace ostinato::cuda {

// Room of a draw for the candidates that are left, [vocab] each.
struct Scratch {
  float* scores;
  int32_t* ids;
};

// This warp's part: places first .. first + count. Without ids, a token's place is its id.
struct Candidates {
  const float* scores;
  const int32_t* ids;
  int32_t first, count;

  // Calls f(scores, ids, inside) for 32 places at a time; lanes that are not inside repeat the part's first.
  template <class F>
  OSTINATO_DEVICE void for_each(F f) const {
    for (int32_t i = 0; i < count; i += kLanes) {
      const Mask inside = lane_index() + i < count;
      const Lane<int32_t> place = select(inside, lane_index() + (first + i), first);
      f(load(scores, place), ids == nullptr ? place : load(ids, place), inside);
    }
  }

  // Leaves those for which keep(scores, ids) holds, in `scratch`, where the candidates themselves may stand.
  template <class F>
  OSTINATO_DEVICE void narrow(const Scratch& scratch, F keep) {
    int32_t kept = 0;
    for_each([&](const Lane<float>& score, const Lane<int32_t>& id, const Mask& inside) {
      const Lane<int32_t> chosen = convert<int32_t>(inside && keep(score, id));
      const Lane<int32_t> to = sum_before(chosen) + (first + kept);
      sync_warp();  // all lanes have loaded what is overwritten now
      store_where(chosen != 0, scratch.scores, to, score);
      store_where(chosen != 0, scratch.ids, to, id);
      kept += sum(chosen);
    });
    sync_warp();
    *this = {scratch.scores, scratch.ids, first, kept};
  }
};

// The warp's part of a whole vocabulary: whole words of a mask.
OSTINATO_DEVICE inline Candidates part_of(const Work& w, const float* scores, int32_t vocab) {
  const int32_t pieces = (vocab + kLanes - 1) / kLanes,
                own = (pieces + w.block_warps - 1) / w.block_warps * kLanes;
  const int32_t first = minimum(w.block_warp * own, vocab);
  return {scores, nullptr, first, minimum(own, vocab - first)};
}

// exp(score - highest) as an integer of 2^40 parts, so that sums are exact: of 2^23 tokens below 2^63.
constexpr float kWhole = 1.0f * (int64_t{1} << 40);
OSTINATO_DEVICE inline Lane<uint64_t> mass_of(const Lane<float>& score, float highest) {
  return convert<uint64_t>(exp(score - highest) * kWhole);
}

// The greatest position in low .. high such that the amounts of all candidates at or above it add up to
// `wanted`, or one below it with the same candidates at or above; `low` where they never do. amount(scores,
// ids, positions) sets positions.
template <class Amount>
OSTINATO_DEVICE inline uint32_t bisect(Work& w, const Candidates& from, uint32_t low, uint32_t high,
                                       uint64_t wanted, Amount amount) {
  constexpr int32_t kWays = 8;
  bool exact = false;
  while (low < high && !exact) {
    const uint32_t step = (high - low) / kWays + 1;
    Lane<uint64_t> above[kWays - 1];
    OSTINATO_UNROLL
    for (Lane<uint64_t>& total : above) total = uint64_t{0};
    from.for_each([&](const Lane<float>& score, const Lane<int32_t>& id, const Mask& inside) {
      Lane<uint32_t> position;
      const Lane<uint64_t> more = amount(score, id, position);
      const Lane<uint32_t> distance = select(inside && position >= low, position - low, 0u);
      OSTINATO_UNROLL
      for (int32_t i = 0; i < kWays - 1; ++i)
        above[i] += select(distance >= (i + 1) * step, more, uint64_t{0});
    });
    const Sums<kWays - 1> sums = block_sums(w, above);
    uint32_t way = 0;
    OSTINATO_UNROLL
    for (int32_t i = 0; i < kWays - 1; ++i) {
      if (sums.of[i] >= wanted) way = i + 1, exact = sums.of[i] == wanted;
    }
    low += way * step;
    high = low + minimum(high - low, step - 1);
  }
  return low;
}

// A key at or below that of the last of the best candidates whose amounts add up to `wanted`: the highest
// score's less 1/2, 1, 2, ..., all in one pass.
template <class Amount>
OSTINATO_DEVICE inline uint32_t lower_bound(Work& w, const Candidates& from, float highest, uint64_t wanted,
                                            Amount amount) {
  constexpr int32_t kBounds = 7;
  const auto bound = [&](int32_t i) { return highest - 0.5f * static_cast<float>(1 << i); };
  Lane<uint64_t> above[kBounds];
  OSTINATO_UNROLL
  for (Lane<uint64_t>& total : above) total = uint64_t{0};
  from.for_each([&](const Lane<float>& score, const Lane<int32_t>&, const Mask& inside) {
    const Lane<uint64_t> more = amount(score);
    OSTINATO_UNROLL
    for (int32_t i = 0; i < kBounds; ++i) above[i] += select(inside && score >= bound(i), more, uint64_t{0});
  });
  const Sums<kBounds> sums = block_sums(w, above);
  for (int32_t i = 0; i < kBounds; ++i) {
    if (sums.of[i] >= wanted) return value_at(key_of(Lane<float>(bound(i))), 0);
  }
  return 0;
}

// Of the candidates with `key`, all of one amount, only the first are needed: the rank of the last one.
template <class Amount>
OSTINATO_DEVICE inline uint64_t last_rank(Work& w, const Candidates& from, uint32_t key, uint64_t wanted,
                                          Amount amount) {
  Lane<uint64_t> parts[3] = {uint64_t{0}, uint64_t{0},
                             uint64_t{0}};  // amount above, amount at the key, number there
  from.for_each([&](const Lane<float>& score, const Lane<int32_t>&, const Mask& inside) {
    const Lane<uint64_t> more = amount(score);
    const Mask equal = inside && key_of(score) == key;
    parts[0] += select(inside && key_of(score) > key, more, uint64_t{0});
    parts[1] += select(equal, more, uint64_t{0});
    parts[2] += convert<uint64_t>(equal);
  });
  const Sums<3> sums = block_sums(w, parts);
  const uint64_t above = sums.of[0], number = sums.of[2], rank = uint64_t{key} << 32;
  if (sums.of[1] == 0) return rank;
  const uint64_t each = sums.of[1] / number, needed = (wanted - above + each - 1) / each;
  if (needed >= number) return rank;
  const auto by_id = [&](const Lane<float>& score, const Lane<int32_t>& id, Lane<uint32_t>& position) {
    position = ~convert<uint32_t>(id);
    return convert<uint64_t>(key_of(score) == key);
  };
  return rank | bisect(w, from, 0x80000000u, 0xffffffffu, needed, by_id);
}

// Leaves the fewest best candidates whose amounts add up to `wanted`, at most all: each stays while those
// before it have less. amount(scores) depends on the score alone; all together have at least `wanted`.
// `highest` is the best score.
template <class Amount>
OSTINATO_DEVICE inline void cut(Work& w, Candidates& from, const Scratch& scratch, float highest,
                                uint64_t wanted, Amount amount) {
  const uint32_t least = lower_bound(w, from, highest, wanted, amount);
  from.narrow(scratch,
              [&](const Lane<float>& score, const Lane<int32_t>&) { return key_of(score) >= least; });
  const auto by_key = [&](const Lane<float>& score, const Lane<int32_t>&, Lane<uint32_t>& position) {
    position = key_of(score);
    return amount(score);
  };
  const uint32_t most = value_at(key_of(Lane<float>(highest)), 0);
  const uint32_t key = bisect(w, from, least, most, wanted, by_key);
  const uint64_t last = last_rank(w, from, key, wanted, amount);
  from.narrow(scratch,
              [&](const Lane<float>& score, const Lane<int32_t>& id) { return rank_of(score, id) >= last; });
}

}  // namespace ostinato::cuda
