// Attention over paged keys and values: online softmax, a chunk of positions at a time. Part of
// isa/vectors.cpp.
//
// A query's operations do not depend on the others: queries share loads and conversions, not sums.

// What becomes of q . k: a score in units of log 2.
struct Scoring {
  float scale, cap;  // a cap in these units, or 0

  LANE_INLINE F16x operator()(F16x dot) const {
    const F16x score = dot * splat(scale);
    return cap == 0 ? score : splat(cap) * tanh16(score / splat(cap));
  }
};

// The products of run `run` as scores; those of positions that are not seen are none.
LANE_INLINE F16x scores_of(const float* products, int64_t run, const Seen& seen, const Scoring& how) {
  const F16x score = how(load(products + run * kLanes));
  if (run * kLanes >= seen.begin && (run + 1) * kLanes <= seen.end) return score;
  const I16x at = iota() + static_cast<int32_t>(run * kLanes);
  const I16x here = (at >= static_cast<int32_t>(seen.begin)) & (at < static_cast<int32_t>(seen.end));
  return select(here, score, splat(-__builtin_inff()));
}

// Turns a chunk's products into weights, those of positions beside the seen ones into 0; returns what earlier
// sums must be scaled by.
LANE_INLINE float soften(float* scores, const Seen& seen, const Scoring& how, float* max, float* sum) {
  const int64_t first = seen.begin / kLanes, end = (seen.end + kLanes - 1) / kLanes;
  F16x top = splat(-__builtin_inff());
  for (int64_t run = first; run < end; ++run) {
    const F16x score = scores_of(scores, run, seen, how);
    store(scores + run * kLanes, score);
    top = larger(score, top);
  }
  const float highest = max_lanes(top);
  const float shift = highest > *max ? highest : *max;
  F16x total = splat(0);
  for (int64_t run = first; run < end; ++run) {
    const F16x weight = exp2_16(load(scores + run * kLanes) - splat(shift));
    store(scores + run * kLanes, weight);
    total += weight;
  }
  const float rescale = exp2_16(splat(*max - shift))[0];
  *sum = *sum * rescale + sum_lanes(total);
  *max = shift;
  return rescale;
}

// One chunk of one split, of which positions [begin, end) are seen by somebody.
struct ChunkTask {
  const Pages& pages;
  const Queries& queries;
  const Partial& out;
  Scoring how;
  int64_t begin, end;
  Chunk chunk;
  float *weights, *scaled;  // [kTileQueries, kChunk]
  bool quantised;

  LANE_INLINE Seen seen(int32_t query) const {
    const int64_t first = queries.first[query] - begin, limit = queries.limit[query] - begin;
    return {first < 0 ? 0 : first, limit > kChunk ? kChunk : limit};
  }
};

// Positions of the tile of N queries from `first` on: what any of them sees, and what all see.
template <int N>
LANE_INLINE void bounds(const ChunkTask& t, int32_t first, Seen& any, Seen& all) {
  any = {kChunk, 0}, all = {0, kChunk};
  for (int32_t i = first; i < first + N; ++i) {
    const Seen s = t.seen(i);
    any.begin = s.begin < any.begin ? s.begin : any.begin, any.end = s.end > any.end ? s.end : any.end;
    all.begin = s.begin > all.begin ? s.begin : all.begin, all.end = s.end < all.end ? s.end : all.end;
  }
}

template <class K, class V, int N>
void attend_tile(const ChunkTask& t, int32_t first) {
  const int64_t dims = t.pages.value_dim, width = padded(dims);
  Seen any, all;
  bounds<N>(t, first, any, all);
  if (any.none()) return;
  const float* q = t.queries.data + first / kQueryGroup * kQueryGroup * t.pages.key_dim + first % kQueryGroup;
  score<K, N>(q, t.chunk, any.begin / kLanes, (any.end + kLanes - 1) / kLanes, t.pages.key_dim, t.weights);
  float* value = t.out.value + first * width;
  for (int i = 0; i < N; ++i) {
    const Seen seen = t.seen(first + i);
    if (seen.none()) continue;
    const float rescale =
        soften(t.weights + i * kChunk, seen, t.how, t.out.max + first + i, t.out.sum + first + i);
    if (rescale == 1) continue;
    for (int64_t d = i * width; d < (i + 1) * width; d += kLanes)
      store(value + d, load(value + d) * splat(rescale));
  }
  if (all.none()) all = {kChunk, kChunk};
  const auto one = [&](int i, int64_t begin, int64_t end) {
    accumulate<V, 1>(t.weights + i * kChunk, t.chunk, {begin, end}, t.quantised, dims, t.scaled,
                     value + i * width);
  };
  // Each query takes its positions in order.
  for (int i = 0; i < N; ++i) {
    const Seen seen = t.seen(first + i);
    one(i, seen.begin, seen.end < all.begin ? seen.end : all.begin);
  }
  accumulate<V, N>(t.weights, t.chunk, all, t.quantised, dims, t.scaled, value);
  for (int i = 0; i < N; ++i) one(i, all.end, t.seen(first + i).end);
}

// Tiles of N queries while there are so many, then of fewer. No tile spans two groups of queries.
template <class K, class V, int N = kTileQueries>
LANE_INLINE void attend_tiles(const ChunkTask& t, int32_t first) {
  for (; first + N <= t.queries.count; first += N) attend_tile<K, V, N>(t, first);
  if constexpr (N > 1) attend_tiles<K, V, N - 1>(t, first);
}

void attend_chunk(const ChunkTask& t) {
  if (t.pages.scattered()) return attend_tiles<Float, Float>(t, 0);
  switch (t.pages.type) {
    case KVType::kF16:
      return attend_tiles<Half, Half>(t, 0);
    case KVType::kF32:
      return attend_tiles<Float, Float>(t, 0);
    case KVType::kQ8_0:
      return attend_tiles<Code, Code>(t, 0);
  }
}

void attend(const Pages& pages, const Queries& queries, int64_t split, float* scratch, const Partial& out) {
  constexpr float kLog2E = 1.44269504f;
  const int64_t width = padded(pages.value_dim);
  int64_t first = split_begin(split + 1), end = 0;
  for (int32_t i = 0; i < queries.count; ++i) {
    out.max[i] = -__builtin_inff(), out.sum[i] = 0;
    for (int64_t d = 0; d < width; d += kLanes) store(out.value + i * width + d, splat(0));
    first = queries.first[i] < first ? queries.first[i] : first;
    end = queries.limit[i] > end ? queries.limit[i] : end;
  }
  if (first < split_begin(split)) first = split_begin(split);
  if (end > split_begin(split + 1)) end = split_begin(split + 1);
  float* const scaled = scratch + kQueryGroup * kChunk;
  ChunkTask task{pages,  queries,
                 out,    {queries.scale * kLog2E, queries.cap * kLog2E},
                 0,      0,
                 {},     scratch,
                 scaled, pages.type == KVType::kQ8_0};
  for (int64_t begin = first / kChunk * kChunk; begin < end; begin += kChunk) {
    task.begin = begin, task.end = begin + kChunk < end ? begin + kChunk : end;
    if (pages.scattered()) {
      copy(pages, begin, task.end, scaled + kQueryGroup * kChunk, task.chunk);
    } else {
      find(pages, begin, task.end, task.chunk);
    }
    attend_chunk(task);
  }
}

void merge(const Partial& into, const Partial& next, int32_t count, int64_t width) {
  for (int32_t i = 0; i < count; ++i) {
    if (next.sum[i] == 0) continue;  // the query sees nothing of this split
    if (into.sum[i] == 0) {          // nor of those before
      into.max[i] = next.max[i], into.sum[i] = next.sum[i];
      __builtin_memcpy(into.value + i * width, next.value + i * width, sizeof(float) * width);
      continue;
    }
    const float shift = into.max[i] > next.max[i] ? into.max[i] : next.max[i];
    const F16x a = exp2_16(splat(into.max[i] - shift)), b = exp2_16(splat(next.max[i] - shift));
    into.max[i] = shift;
    into.sum[i] = into.sum[i] * a[0] + next.sum[i] * b[0];
    for (int64_t d = i * width; d < (i + 1) * width; d += kLanes) {
      store(into.value + d, load(into.value + d) * a + load(next.value + d) * b);
    }
  }
}

void finish(const Partial& from, int32_t query, float sink, int64_t width, float* out) {
  const float max = from.max[query], own = sink * 1.44269504f, shift = own > max ? own : max;
  const F16x kept = exp2_16(splat(max - shift));
  const F16x sum = fma(splat(from.sum[query]), kept, exp2_16(splat(own - shift)));
  const float* value = from.value + query * padded(width);
  by_lanes(width,
           [&](int64_t d, int64_t lanes) { store_some(out + d, lanes, load(value + d) * kept / sum); });
}
