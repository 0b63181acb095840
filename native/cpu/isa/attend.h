// Attention over paged keys and values: online softmax in chunks of 64 positions. Part of isa/vectors.cpp.
//
// Each chunk is brought into scratch as floats once (keys [key_dim, 64], values [64, padded(value_dim)]) for
// all queries of the tile. A query's operations do not depend on the others: queries share loads, not sums.

// n elements at index `at` of an array of float16 or float32, as floats; zeros up to 16.
LANE_INLINE F16x elements(const uint8_t* base, bool half, int64_t at, int64_t n) {
  if (!half) return load_some(reinterpret_cast<const float*>(base) + at, n);
  const uint16_t* p = reinterpret_cast<const uint16_t*>(base) + at;
  if (n == kLanes) return load_half(p);
  uint16_t lanes[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load_half(lanes);
}

struct Place {
  const uint8_t* block;
  int64_t within;  // position in the block
};

LANE_INLINE Place place(const Pages& pages, int64_t position) {
  return {pages.base + pages.table[position / pages.block_size] * pages.block_bytes,
          position % pages.block_size};
}

// Keys of positions [begin, begin + count), 16 at a time where blocks allow it.
void load_keys(const Pages& pages, int64_t begin, int64_t count, float* tile) {
  const int64_t run = pages.block_size % kLanes == 0 ? kLanes : 1;
  for (int64_t i = 0; i < kChunk; i += run) {
    if (i >= count) {
      for (int64_t d = 0; d < pages.key_dim; ++d) {
        for (int64_t lane = 0; lane < run; ++lane) tile[d * kChunk + i + lane] = 0;
      }
      continue;
    }
    const Place at = place(pages, begin + i);
    for (int64_t d = 0; d < pages.key_dim; ++d) {
      const F16x keys =
          elements(at.block + pages.key_offset, pages.half, d * pages.block_size + at.within, run);
      if (run == kLanes) {
        store(tile + d * kChunk + i, keys);
      } else {
        tile[d * kChunk + i] = keys[0];
      }
    }
  }
}

// Values that are the first elements of the keys, whose tile is there: turned round.
void turn_keys(const Pages& pages, int64_t count, const float* keys, float* tile) {
  const int64_t width = padded(pages.value_dim);
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t d = 0; d < width; ++d) tile[i * width + d] = d < pages.value_dim ? keys[d * kChunk + i] : 0;
  }
}

void load_values(const Pages& pages, int64_t begin, int64_t count, float* tile) {
  const int64_t width = padded(pages.value_dim);
  for (int64_t i = 0; i < count; ++i) {
    const Place at = place(pages, begin + i);
    const int64_t row = at.within * pages.value_dim;
    by_lanes(pages.value_dim, [&](int64_t d, int64_t lanes) {
      store(tile + i * width + d, elements(at.block + pages.value_offset, pages.half, row + d, lanes));
    });
  }
}

// scores[i][0 .. 16 C) = cap(scale x q_i . keys), for N queries and C vectors of positions.
template <int N, int C>
LANE_INLINE void scores(const Queries& queries, int32_t first, const float* keys, int64_t key_dim,
                        float* out) {
  const float* const* q = queries.data + first;
  F16x sum[N][C] = {};
  for (int64_t d = 0; d < key_dim; ++d) {
    for (int c = 0; c < C; ++c) {
      const F16x key = load(keys + d * kChunk + c * kLanes);
      for (int i = 0; i < N; ++i) sum[i][c] = fma(splat(q[i][d]), key, sum[i][c]);
    }
  }
  for (int i = 0; i < N; ++i) {
    for (int c = 0; c < C; ++c) {
      F16x score = sum[i][c] * splat(queries.scale);
      if (queries.cap != 0) score = splat(queries.cap) * tanh16(score / splat(queries.cap));
      store(out + i * kChunk + c * kLanes, score);
    }
  }
}

// Positions [begin, end) of a chunk.
struct Seen {
  int64_t begin, end;
  LANE_INLINE bool none() const { return begin >= end; }
};

// Turns the seen ones of 64 scores into weights, the others
// into 0; returns what earlier sums must be scaled by.
LANE_INLINE float soften(float* scores, const Seen& seen_here, float* max, float* sum) {
  F16x s[kChunk / kLanes], top = splat(-__builtin_inff());
  for (int c = 0; c < kChunk / kLanes; ++c) {
    const I16x at = iota() + c * static_cast<int32_t>(kLanes);
    const I16x seen =
        (at >= static_cast<int32_t>(seen_here.begin)) & (at < static_cast<int32_t>(seen_here.end));
    s[c] = select(seen, load(scores + c * kLanes), splat(-__builtin_inff()));
    top = larger(s[c], top);
  }
  const float highest = max_lanes(top);
  const float shift = highest > *max ? highest : *max;
  for (int c = 0; c < kChunk / kLanes; ++c) store(scores + c * kLanes, s[c] = exp16(s[c] - splat(shift)));
  const float rescale = exp16(splat(*max - shift))[0];
  *sum = *sum * rescale + sum_lanes((s[0] + s[1]) + (s[2] + s[3]));
  *max = shift;
  return rescale;
}

// value_i[0 .. 16 C) += sum over positions [begin, end) of weights_i[p] x values[p].
template <int N, int C>
LANE_INLINE void accumulate(const float* weights, const float* values, int64_t begin, int64_t end,
                            int64_t width, float* const* value) {
  F16x sum[N][C];
  for (int i = 0; i < N; ++i) {
    for (int c = 0; c < C; ++c) sum[i][c] = load(value[i] + c * kLanes);
  }
  for (int64_t p = begin; p < end; ++p) {
    for (int c = 0; c < C; ++c) {
      const F16x v = load(values + p * width + c * kLanes);
      for (int i = 0; i < N; ++i) sum[i][c] = fma(splat(weights[i * kChunk + p]), v, sum[i][c]);
    }
  }
  for (int i = 0; i < N; ++i) {
    for (int c = 0; c < C; ++c) store(value[i] + c * kLanes, sum[i][c]);
  }
}

// One query, positions [begin, end) of the chunk.
LANE_INLINE void accumulate_one(const float* weights, const float* values, int64_t begin, int64_t end,
                                int64_t width, float* value) {
  int64_t d = 0;
  for (; d + 4 * kLanes <= width; d += 4 * kLanes) {
    float* at = value + d;
    accumulate<1, 4>(weights, values + d, begin, end, width, &at);
  }
  for (; d < width; d += kLanes) {
    float* at = value + d;
    accumulate<1, 1>(weights, values + d, begin, end, width, &at);
  }
}

LANE_INLINE Seen seen_of(const Queries& queries, int32_t query, int64_t begin) {
  const int64_t first = queries.first[query] - begin, end = queries.limit[query] - begin;
  return {first < 0 ? 0 : first, end > kChunk ? kChunk : end};
}

// One chunk for queries first .. first + N.
template <int N>
void chunk_queries(const Pages& pages, const Queries& queries, int32_t first, int64_t begin,
                   const float* keys, const float* values, float* weights, const Partial& out) {
  const int64_t width = padded(pages.value_dim);
  if constexpr (N == 1) {
    scores<1, 4>(queries, first, keys, pages.key_dim, weights);
  } else {
    for (int64_t i = 0; i < kChunk; i += kLanes) {
      scores<N, 1>(queries, first, keys + i, pages.key_dim, weights + i);
    }
  }
  float* value[N];
  Seen seen[N], common{0, kChunk};  // what all of them see
  for (int i = 0; i < N; ++i) {
    value[i] = out.value + (first + i) * width;
    seen[i] = seen_of(queries, first + i, begin);
    common.begin = seen[i].begin > common.begin ? seen[i].begin : common.begin;
    common.end = seen[i].end < common.end ? seen[i].end : common.end;
    if (seen[i].none()) continue;
    const F16x rescale =
        splat(soften(weights + i * kChunk, seen[i], out.max + first + i, out.sum + first + i));
    for (int64_t d = 0; d < width; d += kLanes) store(value[i] + d, load(value[i] + d) * rescale);
  }
  if (N == 1 || common.none()) {
    for (int i = 0; i < N; ++i) {
      accumulate_one(weights + i * kChunk, values, seen[i].begin, seen[i].end, width, value[i]);
    }
    return;
  }
  for (int i = 0; i < N; ++i) {  // each query takes its positions in order
    accumulate_one(weights + i * kChunk, values, seen[i].begin, common.begin, width, value[i]);
  }
  for (int64_t d = 0; d < width; d += kLanes) {
    float* at[N];
    for (int i = 0; i < N; ++i) at[i] = value[i] + d;
    accumulate<N, 1>(weights, values + d, common.begin, common.end, width, at);
  }
  for (int i = 0; i < N; ++i) {
    accumulate_one(weights + i * kChunk, values, common.end, seen[i].end, width, value[i]);
  }
}

void attend(const Pages& pages, const Queries& queries, int64_t split, float* scratch, const Partial& out) {
  const int64_t width = padded(pages.value_dim);
  float* keys = scratch;
  float* values = keys + kChunk * pages.key_dim;
  float* weights = values + kChunk * width;
  int64_t first = (split + 1) * kSplit, end = 0;
  for (int32_t i = 0; i < queries.count; ++i) {
    out.max[i] = -__builtin_inff(), out.sum[i] = 0;
    for (int64_t d = 0; d < width; d += kLanes) store(out.value + i * width + d, splat(0));
    first = queries.first[i] < first ? queries.first[i] : first;
    end = queries.limit[i] > end ? queries.limit[i] : end;
  }
  if (first < split * kSplit) first = split * kSplit;
  if (end > (split + 1) * kSplit) end = (split + 1) * kSplit;
  for (int64_t begin = first / kChunk * kChunk; begin < end; begin += kChunk) {
    const int64_t count = end - begin < kChunk ? end - begin : kChunk;
    load_keys(pages, begin, count, keys);
    if (pages.values_in_keys) {
      turn_keys(pages, count, keys, values);
    } else {
      load_values(pages, begin, count, values);
    }
    int32_t i = 0;
    for (; i + 4 <= queries.count; i += 4)
      chunk_queries<4>(pages, queries, i, begin, keys, values, weights, out);
    for (; i < queries.count; ++i) chunk_queries<1>(pages, queries, i, begin, keys, values, weights, out);
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
    const F16x a = exp16(splat(into.max[i] - shift)), b = exp16(splat(next.max[i] - shift));
    into.max[i] = shift;
    into.sum[i] = into.sum[i] * a[0] + next.sum[i] * b[0];
    for (int64_t d = i * width; d < (i + 1) * width; d += kLanes) {
      store(into.value + d, load(into.value + d) * a + load(next.value + d) * b);
    }
  }
}

void finish(const Partial& from, int32_t query, float sink, int64_t width, float* out) {
  const float max = from.max[query], shift = sink > max ? sink : max;
  const F16x kept = exp16(splat(max - shift));
  const F16x sum = fma(splat(from.sum[query]), kept, exp16(splat(sink - shift)));
  const float* value = from.value + query * padded(width);
  by_lanes(width,
           [&](int64_t d, int64_t lanes) { store_some(out + d, lanes, load(value + d) * kept / sum); });
}
