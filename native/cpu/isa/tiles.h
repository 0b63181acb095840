// Register tiles of attention: queries x positions for scores, queries x dimensions for values. Elements are
// converted in registers, once for all queries of a tile. An output's sum runs over dimensions, or positions,
// in order and in one accumulator: it does not depend on the shape of the tile. Part of isa/vectors.cpp.

// Queries that a tile takes at most, and its vectors for each number of them: as many sums as the registers
// hold beside the operands.
#if defined(__AVX512F__)
constexpr int kTileQueries = 8;
constexpr int tile_vectors(int queries) { return queries > 4 ? 2 : queries > 2 ? 4 : 8; }
#elif defined(__AVX2__)
constexpr int kTileQueries = 4;
constexpr int tile_vectors(int queries) { return queries > 2 ? 1 : queries > 1 ? 2 : 4; }
#else
constexpr int kTileQueries = 2;
constexpr int tile_vectors(int queries) { return queries > 1 ? 1 : 2; }
#endif

// sum[i][c] = q_i . keys of run first + c; q [key_dim, kQueryGroup] begins at the tile's first query.
template <class E, int N, int C>
LANE_INLINE void dot_keys(const float* q, const Chunk& chunk, int64_t first, int64_t dims,
                          F16x (&sum)[N][C]) {
  const uint8_t* at[C];
  for (int c = 0; c < C; ++c) at[c] = chunk.key[first + c];
  for (int64_t d = 0; d < dims; ++d, q += kQueryGroup) {
    F16x key[C];
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) key[c] = E::load(at[c]), at[c] += chunk.key_step;
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) {
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) sum[i][c] = fma(splat(q[i]), key[c], sum[i][c]);
    }
  }
}

// The same for groups of four codes and their scales.
template <int N, int C>
LANE_INLINE void dot_codes(const float* q, const Chunk& chunk, int64_t first, int64_t dims,
                           F16x (&sum)[N][C]) {
  const uint8_t *at[C], *scales[C];
  for (int c = 0; c < C; ++c) at[c] = chunk.key[first + c], scales[c] = chunk.key_scale[first + c];
  for (int64_t d = 0; d < dims; d += kQuantBlock) {
    F16x scale[C];
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) scale[c] = scale_at(scales[c]), scales[c] += chunk.scale_step;
    for (int64_t group = 0; group < kQuantBlock / 4; ++group) {
      I16x codes[C];
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c)
        codes[c] = *reinterpret_cast<const I16xAny*>(at[c]), at[c] += chunk.key_step;
#pragma GCC unroll 4
      for (int row = 0; row < 4; ++row, q += kQueryGroup) {
        F16x key[C];
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) key[c] = code_row(codes[c], row) * scale[c];
#pragma GCC unroll 8
        for (int i = 0; i < N; ++i) {
#pragma GCC unroll 8
          for (int c = 0; c < C; ++c) sum[i][c] = fma(splat(q[i]), key[c], sum[i][c]);
        }
      }
    }
  }
}

// q . k [N, kChunk] of runs [first, first + C).
template <class E, int N, int C>
LANE_INLINE void score_runs(const float* q, const Chunk& chunk, int64_t first, int64_t dims, float* out) {
  F16x sum[N][C];
#pragma GCC unroll 8
  for (int i = 0; i < N; ++i) {
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) sum[i][c] = splat(0);
  }
  if constexpr (std::is_same_v<E, Code>) {
    dot_codes<N, C>(q, chunk, first, dims, sum);
  } else {
    dot_keys<E, N, C>(q, chunk, first, dims, sum);
  }
#pragma GCC unroll 8
  for (int i = 0; i < N; ++i) {
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) store(out + i * kChunk + (first + c) * kLanes, sum[i][c]);
  }
}

// q . k of runs [first, end).
template <class E, int N>
LANE_INLINE void score(const float* q, const Chunk& chunk, int64_t first, int64_t end, int64_t dims,
                       float* out) {
  constexpr int C = tile_vectors(N);
  for (; first + C <= end; first += C) score_runs<E, N, C>(q, chunk, first, dims, out);
  for (; first < end; ++first) score_runs<E, N, 1>(q, chunk, first, dims, out);
}

// Positions [begin, end) of a chunk.
struct Seen {
  int64_t begin, end;
  LANE_INLINE bool none() const { return begin >= end; }
};

constexpr int64_t kAhead = 2;  // runs that values are asked for before they are used

// sum[i][c] += weights_i[p] x elements [16 c, 16 c + 16) of p's values at byte `at`, over the positions in
// order; with D = 1 maybe only some lanes.
template <class E, int N, int D, bool Some = false>
LANE_INLINE void add_values(const float* weights, const Chunk& chunk, const Seen& seen, int64_t at,
                            F16x (&sum)[N][D], int64_t lanes = kLanes) {
  for (int64_t p = seen.begin; p < seen.end;) {
    const int64_t run = p / kLanes, stop = (run + 1) * kLanes < seen.end ? (run + 1) * kLanes : seen.end;
    const uint8_t* row = chunk.value[run] + p % kLanes * chunk.value_step + at;
    const int64_t ahead = chunk.value[run + kAhead < chunk.runs ? run + kAhead : run] - chunk.value[run];
    for (; p < stop; ++p, row += chunk.value_step) {
      if constexpr (N > 1)
        __builtin_prefetch(row + ahead);  // passes over columns are not foreseen by the machine
      F16x v[D];
#pragma GCC unroll 8
      for (int c = 0; c < D; ++c) v[c] = Some ? E::some(row, lanes) : E::load(row + c * kLanes * E::kBytes);
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) {
#pragma GCC unroll 8
        for (int c = 0; c < D; ++c) sum[i][c] = fma(splat(weights[i * kChunk + p]), v[c], sum[i][c]);
      }
    }
  }
}

// value_i[d .. d + 16 D) += the weighted elements there.
template <class E, int N, int D>
LANE_INLINE void weigh(const float* weights, const Chunk& chunk, const Seen& seen, int64_t d, float* value,
                       int64_t width) {
  F16x sum[N][D];
#pragma GCC unroll 8
  for (int i = 0; i < N; ++i) {
#pragma GCC unroll 8
    for (int c = 0; c < D; ++c) sum[i][c] = load(value + i * width + d + c * kLanes);
  }
  add_values<E, N, D>(weights, chunk, seen, d * E::kBytes, sum);
#pragma GCC unroll 8
  for (int i = 0; i < N; ++i) {
#pragma GCC unroll 8
    for (int c = 0; c < D; ++c) store(value + i * width + d + c * kLanes, sum[i][c]);
  }
}

// Elements [d, end) of the values.
template <class E, int N>
LANE_INLINE void weigh_span(const float* weights, const Chunk& chunk, const Seen& seen, int64_t d,
                            int64_t end, float* value, int64_t width) {
  constexpr int D = tile_vectors(N) < 4 ? tile_vectors(N) : 4;
  for (; d + D * kLanes <= end; d += D * kLanes) weigh<E, N, D>(weights, chunk, seen, d, value, width);
  for (; d + kLanes <= end; d += kLanes) weigh<E, N, 1>(weights, chunk, seen, d, value, width);
  if (d == end) return;
  F16x sum[N][1];
  for (int i = 0; i < N; ++i) sum[i][0] = load(value + i * width + d);
  add_values<E, N, 1, true>(weights, chunk, seen, d * E::kBytes, sum, end - d);
  for (int i = 0; i < N; ++i) store(value + i * width + d, sum[i][0]);
}

// The weights of positions [begin, end), times the scales of a block of elements.
template <int N>
LANE_INLINE void scale_weights(const float* weights, const Chunk& chunk, const Seen& seen, int64_t block,
                               float* out) {
  for (int64_t run = seen.begin / kLanes; run * kLanes < seen.end; ++run) {
    const F16x scale = scale_at(chunk.value_scale[run] + block * chunk.scale_step);
    for (int i = 0; i < N; ++i) {
      const int64_t at = i * kChunk + run * kLanes;
      store(out + at, load(weights + at) * scale);
    }
  }
}

// value_i [width] += sum over positions [begin, end) of weights_i[p] x values[p]; `quantised` values have
// scales, which go to the weights, in `scaled` [N, kChunk].
template <class E, int N>
void accumulate(const float* weights, const Chunk& chunk, const Seen& seen, bool quantised, int64_t dims,
                float* scaled, float* value) {
  const int64_t width = padded(dims);
  if (seen.none()) return;
  if (!quantised) return weigh_span<E, N>(weights, chunk, seen, 0, dims, value, width);
  for (int64_t d = 0; d < dims; d += kQuantBlock) {
    scale_weights<N>(weights, chunk, seen, d / kQuantBlock, scaled);
    weigh_span<E, N>(scaled, chunk, seen, d, d + kQuantBlock, value, width);
  }
}
