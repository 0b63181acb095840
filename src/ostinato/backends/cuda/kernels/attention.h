// Attention of a few query heads that share a KV head, over one split of kAttendSplit positions, by one warp.
//
// Scores: a lane per position. Values: a lane per pair of dimensions, positions in order. Everything about
// one query head is computed as if it were alone, so neither their number nor the path (whole rows, or splits
// side by side that are merged afterwards) changes a bit.
#pragma once
#include "paged.h"

namespace ostinato::cuda {

constexpr int32_t kScoreTiles = kAttendSplit / kLanes;  // positions of a lane in one split
constexpr int32_t kTilesTogether = 4;                   // of which so many are scored at a time
constexpr int32_t kPairTiles = 4;                       // pairs of dimensions of a lane: value_dim <= 256
constexpr float kLowest = -kInfinity;

// What one query head makes of some positions: their largest score, the sum of exp(score - largest), and the
// values weighted so. A lane holds dimensions 2 p and 2 p + 1 for its pairs p = lane, lane + 32, ...
struct Partial {
  float largest, sum;
  Lane<float> even[kPairTiles], odd[kPairTiles];
};

// Calls f(pair tile, dimension of its even lanes, inside) for value_dim dimensions.
template <class F>
OSTINATO_DEVICE inline void for_each_pair(int32_t value_dim, F f) {
  OSTINATO_UNROLL
  for (int32_t i = 0; i < kPairTiles; ++i) {
    if (2 * kLanes * i >= value_dim) break;
    const Lane<int32_t> dimension = 2 * (kLanes * i + lane_index());
    f(i, dimension, dimension < value_dim);
  }
}

// Adds `more` positions to those of `total`. The one way in which splits are put together, in their order.
OSTINATO_DEVICE inline void merge(Partial& total, const Partial& more, int32_t value_dim) {
  const float largest = maximum(total.largest, more.largest);
  const float keep = exp(total.largest - largest), take = exp(more.largest - largest);
  total.largest = largest;
  total.sum = fma(more.sum, take, total.sum * keep);
  for_each_pair(value_dim, [&](int32_t i, const Lane<int32_t>&, const Mask&) {
    total.even[i] = fma(more.even[i], take, total.even[i] * keep);
    total.odd[i] = fma(more.odd[i], take, total.odd[i] * keep);
  });
}

// N consecutive elements per lane as floats; index counts runs of N. Runs of 16 bytes are read at once.
template <int32_t N>
struct Run {
  Lane<float> at[N];
};

OSTINATO_DEVICE inline Lane<float> lower_half(const Lane<uint32_t>& word) {
  return half_to_float(convert<uint16_t>(word));
}
OSTINATO_DEVICE inline Lane<float> upper_half(const Lane<uint32_t>& word) {
  return half_to_float(convert<uint16_t>(word >> 16));
}

template <int32_t N>
OSTINATO_DEVICE inline Run<N> load_run(const float* base, const Lane<int32_t>& index) {
  Run<N> out;
  if constexpr (N % 4 == 0) {
    OSTINATO_UNROLL
    for (int32_t i = 0; i < N / 4; ++i) {
      const Words4 words = load_words4(base, index * (N / 4) + i);
      out.at[4 * i] = bits<float>(words.x), out.at[4 * i + 1] = bits<float>(words.y);
      out.at[4 * i + 2] = bits<float>(words.z), out.at[4 * i + 3] = bits<float>(words.w);
    }
  } else {
    OSTINATO_UNROLL
    for (int32_t i = 0; i < N; ++i) out.at[i] = load(base, index * N + i);
  }
  return out;
}

template <int32_t N>
OSTINATO_DEVICE inline Run<N> load_run(const uint16_t* base, const Lane<int32_t>& index) {
  static_assert(N == 8 || N == 2);
  Run<N> out;
  if constexpr (N == 8) {
    const Words4 words = load_words4(base, index);
    out.at[0] = lower_half(words.x), out.at[1] = upper_half(words.x);
    out.at[2] = lower_half(words.y), out.at[3] = upper_half(words.y);
    out.at[4] = lower_half(words.z), out.at[5] = upper_half(words.z);
    out.at[6] = lower_half(words.w), out.at[7] = upper_half(words.w);
  } else {
    const Lane<uint32_t> word = load(reinterpret_cast<const uint32_t*>(base), index);
    out.at[0] = lower_half(word), out.at[1] = upper_half(word);
  }
  return out;
}

// Query heads of one row that share a KV head.
struct Queries {
  const float* q;  // [count, key_dim]
  int32_t row, slot, position, head, count, kv_head;
  float scale;
};

// H query heads, those beyond queries.count being idle, against the positions of a split. Keys are read in
// runs of N.
template <class E, int32_t N, int32_t H>
class Split {
 public:
  OSTINATO_DEVICE Split(const Machine& m, const Pages<E>& pages, int32_t cache, const Queries& queries,
                        int32_t split)
      : m_(m), pages_(pages), queries_(queries), cache_(cache), first_(split * kAttendSplit) {}

  OSTINATO_DEVICE void run(Partial (&out)[H]) {
    OSTINATO_UNROLL
    for (int32_t tile = 0; tile < kScoreTiles; tile += kTilesTogether) score(tile);
    OSTINATO_UNROLL
    for (int32_t h = 0; h < H; ++h) weigh(h, out[h]);
    for (int32_t tile = 0; tile < kScoreTiles && !is_behind(tile); ++tile) add_values(tile, out);
  }

 private:
  // Places of a tile's positions; those behind the row's own are put on it, and masked later.
  OSTINATO_DEVICE Places places_of(int32_t tile) const {
    const Lane<int32_t> position = lane_index() + (first_ + kLanes * tile);
    return places(m_, queries_.slot, cache_, minimum(position, Lane<int32_t>(queries_.position)));
  }

  OSTINATO_DEVICE bool is_behind(int32_t tile) const { return first_ + kLanes * tile > queries_.position; }

  // weight_[h][tile ..] = scale x q . k, each a chain of fma over the dimensions.
  OSTINATO_DEVICE void score(int32_t tile) {
    if (is_behind(tile)) {
      OSTINATO_UNROLL
      for (int32_t h = 0; h < H; ++h) {
        OSTINATO_UNROLL
        for (int32_t t = 0; t < kTilesTogether; ++t) weight_[h][tile + t] = kLowest;
      }
      return;
    }
    Lane<int32_t> at[kTilesTogether];  // run of the pool at which a key begins
    OSTINATO_UNROLL
    for (int32_t t = 0; t < kTilesTogether; ++t) {
      const Places p = places_of(tile + t);
      at[t] = p.block * (pages_.block_elements() / N) +
              (p.within + queries_.kv_head * pages_.block_size) * (pages_.key_dim / N);
    }
    Lane<float> dot[H][kTilesTogether];
    multiply(at, dot);
    OSTINATO_UNROLL
    for (int32_t t = 0; t < kTilesTogether; ++t) {
      const Mask inside = lane_index() + (first_ + kLanes * (tile + t)) <= queries_.position;
      OSTINATO_UNROLL
      for (int32_t h = 0; h < H; ++h) {
        weight_[h][tile + t] = select(inside, dot[h][t] * queries_.scale, kLowest);
      }
    }
  }

  OSTINATO_DEVICE void multiply(const Lane<int32_t> (&at)[kTilesTogether],
                                Lane<float> (&dot)[H][kTilesTogether]) {
    OSTINATO_UNROLL
    for (int32_t h = 0; h < H; ++h) {
      OSTINATO_UNROLL
      for (int32_t t = 0; t < kTilesTogether; ++t) dot[h][t] = 0.0f;
    }
    for (int32_t run = 0; run < pages_.key_dim / N; ++run) {
      Run<N> key[kTilesTogether];
      OSTINATO_UNROLL
      for (int32_t t = 0; t < kTilesTogether; ++t) key[t] = load_run<N>(pages_.base, at[t] + run);
      OSTINATO_UNROLL
      for (int32_t h = 0; h < H; ++h) {
        const float* q = queries_.q + minimum(h, queries_.count - 1) * pages_.key_dim;
        const Run<N> query = load_run<N>(q, Lane<int32_t>(run));
        OSTINATO_UNROLL
        for (int32_t i = 0; i < N; ++i) {
          OSTINATO_UNROLL
          for (int32_t t = 0; t < kTilesTogether; ++t) dot[h][t] = fma(query.at[i], key[t].at[i], dot[h][t]);
        }
      }
    }
  }

  // Scores become exp(score - largest).
  OSTINATO_DEVICE void weigh(int32_t h, Partial& out) {
    Lane<float> most = weight_[h][0], total = 0.0f;
    OSTINATO_UNROLL
    for (int32_t tile = 1; tile < kScoreTiles; ++tile) most = maximum(most, weight_[h][tile]);
    out.largest = largest(most);
    OSTINATO_UNROLL
    for (int32_t tile = 0; tile < kScoreTiles; ++tile) {
      weight_[h][tile] = exp(weight_[h][tile] - out.largest);
      total += weight_[h][tile];
    }
    out.sum = sum(total);
    OSTINATO_UNROLL
    for (int32_t i = 0; i < kPairTiles; ++i) out.even[i] = out.odd[i] = 0.0f;
  }

  // weight_[h][tile], though registers cannot be indexed: so the loop over tiles need not be unrolled.
  OSTINATO_DEVICE Lane<float> weights_of(int32_t h, int32_t tile) const {
    Lane<float> out = weight_[h][0];
    OSTINATO_UNROLL
    for (int32_t t = 1; t < kScoreTiles; ++t) out = tile == t ? weight_[h][t] : out;
    return out;
  }

  OSTINATO_DEVICE void add_values(int32_t tile, Partial (&out)[H]) {
    Lane<float> weights[H];
    OSTINATO_UNROLL
    for (int32_t h = 0; h < H; ++h) weights[h] = weights_of(h, tile);
    const Places p = places_of(tile);
    const int32_t count = minimum(kLanes, queries_.position + 1 - first_ - kLanes * tile);
    OSTINATO_UNROLL_4
    for (int32_t j = 0; j < count; ++j) {
      const E* value =
          pages_.block(value_at(p.block, j)) + pages_.value_at(queries_.kv_head, value_at(p.within, j));
      float weight[H];
      OSTINATO_UNROLL
      for (int32_t h = 0; h < H; ++h) weight[h] = value_at(weights[h], j);
      for_each_pair(pages_.value_dim, [&](int32_t i, const Lane<int32_t>& dimension, const Mask& inside) {
        const Run<2> pair = load_run<2>(value, select(inside, dimension, 0) / 2);
        OSTINATO_UNROLL
        for (int32_t h = 0; h < H; ++h) {
          out[h].even[i] = fma(pair.at[0], weight[h], out[h].even[i]);
          out[h].odd[i] = fma(pair.at[1], weight[h], out[h].odd[i]);
        }
      });
    }
  }

  const Machine& m_;
  const Pages<E>& pages_;
  const Queries& queries_;
  const int32_t cache_, first_;
  Lane<float> weight_[H][kScoreTiles];
};

// out[dimension] = values / sum.
OSTINATO_DEVICE inline void store_attended(const Partial& p, int32_t value_dim, float* out) {
  for_each_pair(value_dim, [&](int32_t i, const Lane<int32_t>& dimension, const Mask& inside) {
    store_where(inside, out, dimension, p.even[i] / p.sum);
    store_where(inside, out, dimension + 1, p.odd[i] / p.sum);
  });
}

OSTINATO_DEVICE inline void store_zeros(int32_t value_dim, float* out) {
  for_each_pair(value_dim, [&](int32_t, const Lane<int32_t>& dimension, const Mask& inside) {
    store_where(inside, out, dimension, 0.0f);
    store_where(inside, out, dimension + 1, 0.0f);
  });
}

// A partial in memory: largest, sum, values [value_dim].
OSTINATO_DEVICE inline void store_partial(const Partial& p, int32_t value_dim, float* to) {
  to[0] = p.largest;
  to[1] = p.sum;
  for_each_pair(value_dim, [&](int32_t i, const Lane<int32_t>& dimension, const Mask& inside) {
    store_where(inside, to + 2, dimension, p.even[i]);
    store_where(inside, to + 2, dimension + 1, p.odd[i]);
  });
}

OSTINATO_DEVICE inline void load_partial(const float* from, int32_t value_dim, Partial& p) {
  p.largest = from[0];
  p.sum = from[1];
  for_each_pair(value_dim, [&](int32_t i, const Lane<int32_t>& dimension, const Mask& inside) {
    p.even[i] = load_where(inside, from + 2, dimension, 0.0f);
    p.odd[i] = load_where(inside, from + 2, dimension + 1, 0.0f);
  });
}

}  // namespace ostinato::cuda
