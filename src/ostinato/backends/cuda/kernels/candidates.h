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
    OSTINATO_UNROLL_4
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

// What a candidate adds to a sum, by its score alone: 1, or its mass. `highest` is the best score of all.
struct Amount {
  bool mass;
  float highest;

  OSTINATO_DEVICE Lane<uint64_t> of(const Lane<float>& score) const {
    return mass ? mass_of(score, highest) : Lane<uint64_t>(uint64_t{1});
  }
};

// Where a candidate stands in some order, a greater position coming first, and what it adds to a sum.
struct Measured {
  Lane<uint32_t> position;
  Lane<uint64_t> amount;
};

template <int32_t N>
OSTINATO_DEVICE inline void clear(Lane<uint64_t> (&totals)[N]) {
  OSTINATO_UNROLL
  for (int32_t i = 0; i < N; ++i) totals[i] = uint64_t{0};
}

// The greatest position in low .. high such that the amounts of all candidates at or above it add up to
// `wanted`, or one below it with the same candidates at or above; `low` where they never do. measure(scores,
// ids) gives positions and amounts.
template <class Measure>
OSTINATO_DEVICE inline uint32_t bisect(Work& w, const Candidates& from, uint32_t low, uint32_t high,
                                       uint64_t wanted, Measure measure) {
  constexpr int32_t kWays = 8;
  bool exact = false;
  while (low < high && !exact) {
    const uint32_t step = (high - low) / kWays + 1;
    Lane<uint64_t> above[kWays - 1];
    clear(above);
    from.for_each([&](const Lane<float>& score, const Lane<int32_t>& id, const Mask& inside) {
      const Measured measured = measure(score, id);
      const Mask counted = inside && measured.position >= low;
      const Lane<uint32_t> distance = select(counted, measured.position - low, 0u);
      OSTINATO_UNROLL
      for (int32_t i = 0; i < kWays - 1; ++i) {
        above[i] += select(distance >= (i + 1) * step, measured.amount, uint64_t{0});
      }
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
OSTINATO_DEVICE inline uint32_t lower_bound(Work& w, const Candidates& from, uint64_t wanted,
                                            const Amount& amount) {
  constexpr int32_t kBounds = 7;
  const auto bound = [&](int32_t i) { return amount.highest - 0.5f * static_cast<float>(1 << i); };
  Lane<uint64_t> above[kBounds];
  clear(above);
  from.for_each([&](const Lane<float>& score, const Lane<int32_t>&, const Mask& inside) {
    const Lane<uint64_t> more = amount.of(score);
    OSTINATO_UNROLL
    for (int32_t i = 0; i < kBounds; ++i) {
      above[i] += select(inside && score >= bound(i), more, uint64_t{0});
    }
  });
  const Sums<kBounds> sums = block_sums(w, above);
  for (int32_t i = 0; i < kBounds; ++i) {
    if (sums.of[i] >= wanted) return value_at(key_of(Lane<float>(bound(i))), 0);
  }
  return 0;
}

// The rank of the last candidate that is needed. It has `key`; all that have it are of one amount, and the
// first of them are needed.
OSTINATO_DEVICE inline uint64_t last_rank(Work& w, const Candidates& from, uint32_t key, uint64_t wanted,
                                          const Amount& amount) {
  Lane<uint64_t> parts[3];  // amount above the key, amount at the key, number there
  clear(parts);
  from.for_each([&](const Lane<float>& score, const Lane<int32_t>&, const Mask& inside) {
    const Lane<uint64_t> more = amount.of(score);
    const Mask equal = inside && key_of(score) == key;
    parts[0] += select(inside && key_of(score) > key, more, uint64_t{0});
    parts[1] += select(equal, more, uint64_t{0});
    parts[2] += convert<uint64_t>(equal);
  });
  const Sums<3> sums = block_sums(w, parts);
  const uint64_t above = sums.of[0], at_key = sums.of[1], number = sums.of[2], rank = uint64_t{key} << 32;
  if (at_key == 0) return rank;
  const uint64_t each = at_key / number, needed = (wanted - above + each - 1) / each;
  if (needed >= number) return rank;
  const auto by_id = [&](const Lane<float>& score, const Lane<int32_t>& id) {
    return Measured{~convert<uint32_t>(id), convert<uint64_t>(key_of(score) == key)};
  };
  return rank | bisect(w, from, 1u << 31, ~0u, needed, by_id);
}

// Leaves the fewest best candidates whose amounts add up to `wanted`: each stays while those before it have
// less. All together have at least so much. Not inlined: it is long, and called for top-k, top-p and
// log-probabilities.
OSTINATO_NOINLINE OSTINATO_DEVICE inline void cut(Work& w, Candidates& from, const Scratch& scratch,
                                                  uint64_t wanted, const Amount& amount) {
  const uint32_t least = lower_bound(w, from, wanted, amount);
  from.narrow(scratch,
              [&](const Lane<float>& score, const Lane<int32_t>&) { return key_of(score) >= least; });
  const auto by_key = [&](const Lane<float>& score, const Lane<int32_t>&) {
    return Measured{key_of(score), amount.of(score)};
  };
  const uint32_t most = value_at(key_of(Lane<float>(amount.highest)), 0);
  const uint32_t key = bisect(w, from, least, most, wanted, by_key);
  const uint64_t last = last_rank(w, from, key, wanted, amount);
  from.narrow(scratch,
              [&](const Lane<float>& score, const Lane<int32_t>& id) { return rank_of(score, id) >= last; });
}

}  // namespace ostinato::cuda
