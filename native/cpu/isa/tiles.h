// Register tiles of attention: queries x positions for scores, queries x dimensions for values. Elements are
// converted in registers, once for all queries of a tile. An output's sum runs over dimensions, or positions,
// in order and in one accumulator: it does not depend on the shape of the tile. Part of isa/vectors.cpp.

// Queries that a tile takes at most, and its runs of 16 lanes for each number of them: as many sums as the
// registers hold beside the operands. Tiles are made of the machine's own vectors, the parts of 16 lanes,
// because g++ keeps wider ones in memory.
#if defined(__AVX512F__)
constexpr int kTileQueries = 8;
constexpr int tile_runs(int queries) { return queries > 4 ? 2 : queries > 2 ? 4 : 8; }
#elif defined(__AVX2__)
constexpr int kTileQueries = 4;
constexpr int tile_runs(int queries) { return queries > 2 ? 1 : queries > 1 ? 2 : 4; }
#else
constexpr int kTileQueries = 2;
constexpr int tile_runs(int queries) { return queries > 1 ? 1 : 2; }
#endif

// Sums of N queries and R runs, part by part.
template <int N, int R>
struct TileSums {
  static constexpr int kCount = R * kParts;
  FloatPart of[N][kCount];

  // of[i] += factors[i x stride] x operands.
  LANE_INLINE void add(const float* factors, int64_t stride, const FloatPart (&operands)[kCount]) {
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) {
#pragma GCC unroll 8
      for (int c = 0; c < kCount; ++c) of[i][c] += factors[i * stride] * operands[c];
    }
  }
  // From and to rows that are `stride` apart.
  LANE_INLINE void load(const float* from, int64_t stride) {
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) {
#pragma GCC unroll 8
      for (int c = 0; c < kCount; ++c) of[i][c] = load_part(from + i * stride + c * kPartLanes);
    }
  }
  LANE_INLINE void store(float* to, int64_t stride) const {
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) {
#pragma GCC unroll 8
      for (int c = 0; c < kCount; ++c) store_part(to + i * stride + c * kPartLanes, of[i][c]);
    }
  }
};

// sum[i] = q_i . keys of runs first .. first + R - 1; q [key_dim, kQueryGroup] begins at the tile's first
// query.
template <class E, int N, int R>
LANE_INLINE void dot_keys(const float* q, const Chunk& chunk, int64_t first, int64_t dims,
                          TileSums<N, R>& sums) {
  const uint8_t* at[R];
  for (int r = 0; r < R; ++r) at[r] = chunk.key[first + r];
  for (int64_t d = 0; d < dims; ++d, q += kQueryGroup) {
    FloatPart key[R * kParts];
#pragma GCC unroll 8
    for (int c = 0; c < R * kParts; ++c)
      key[c] = E::part(at[c / kParts] + c % kParts * kPartLanes * E::kBytes);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) at[r] += chunk.key_step;
    sums.add(q, 1, key);
  }
}

// The same for groups of four codes and their scales.
template <int N, int R>
LANE_INLINE void dot_codes(const float* q, const Chunk& chunk, int64_t first, int64_t dims,
                           TileSums<N, R>& sums) {
  constexpr int C = R * kParts;
  const uint8_t *at[R], *scales[R];
  for (int r = 0; r < R; ++r) at[r] = chunk.key[first + r], scales[r] = chunk.key_scale[first + r];
  for (int64_t d = 0; d < dims; d += kQuantBlock) {
    FloatPart scale[C];
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c)
      scale[c] = Half::part(scales[c / kParts] + c % kParts * kPartLanes * Half::kBytes);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) scales[r] += chunk.scale_step;
    for (int64_t group = 0; group < kQuantBlock / 4; ++group) {
      MaskPart codes[C];
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c)
        codes[c] = *reinterpret_cast<const MaskPartAny*>(at[c / kParts] + c % kParts * kPartBytes);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) at[r] += chunk.key_step;
#pragma GCC unroll 4
      for (int row = 0; row < 4; ++row, q += kQueryGroup) {
        FloatPart key[C];
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) key[c] = code_row(codes[c], row) * scale[c];
        sums.add(q, 1, key);
      }
    }
  }
}

// q . k [N, kChunk] of runs [first, first + R).
template <class E, int N, int R>
LANE_INLINE void score_runs(const float* q, const Chunk& chunk, int64_t first, int64_t dims, float* out) {
  TileSums<N, R> sums = {};
  if constexpr (std::is_same_v<E, Code>) {
    dot_codes<N, R>(q, chunk, first, dims, sums);
  } else {
    dot_keys<E, N, R>(q, chunk, first, dims, sums);
  }
  sums.store(out + first * kLanes, kChunk);
}

// q . k of runs [first, end).
template <class E, int N>
LANE_INLINE void score(const float* q, const Chunk& chunk, int64_t first, int64_t end, int64_t dims,
                       float* out) {
  constexpr int R = tile_runs(N);
  for (; first + R <= end; first += R) score_runs<E, N, R>(q, chunk, first, dims, out);
  for (; first < end; ++first) score_runs<E, N, 1>(q, chunk, first, dims, out);
}

// Positions [begin, end) of a chunk.
struct Seen {
  int64_t begin, end;
  LANE_INLINE bool none() const { return begin >= end; }
};

constexpr int64_t kAhead = 2;  // runs that values are asked for before they are used

// sums[i] += weights_i[p] x elements [0, 16 R) of p's values at byte `at`, over the positions in order; with
// R = 1 maybe only some lanes.
template <class E, int N, int R, bool Some = false>
LANE_INLINE void add_values(const float* weights, const Chunk& chunk, const Seen& seen, int64_t at,
                            TileSums<N, R>& sums, int64_t lanes = kLanes) {
  for (int64_t p = seen.begin; p < seen.end;) {
    const int64_t run = p / kLanes, stop = (run + 1) * kLanes < seen.end ? (run + 1) * kLanes : seen.end;
    const uint8_t* row = chunk.value[run] + p % kLanes * chunk.value_step + at;
    const int64_t ahead = chunk.value[run + kAhead < chunk.runs ? run + kAhead : run] - chunk.value[run];
    for (; p < stop; ++p, row += chunk.value_step) {
      if constexpr (N > 1)
        __builtin_prefetch(row + ahead);  // passes over columns are not foreseen by the machine
      const FloatParts some = Some ? std::bit_cast<FloatParts>(E::some(row, lanes)) : FloatParts{};
      FloatPart v[R * kParts];
#pragma GCC unroll 8
      for (int c = 0; c < R * kParts; ++c)
        v[c] = Some ? some.part[c % kParts] : E::part(row + c * kPartLanes * E::kBytes);
      sums.add(weights + p, kChunk, v);
    }
  }
}

// value_i[d .. d + 16 R) += the weighted elements there.
template <class E, int N, int R>
LANE_INLINE void weigh(const float* weights, const Chunk& chunk, const Seen& seen, int64_t d, float* value,
                       int64_t width) {
  TileSums<N, R> sums;
  sums.load(value + d, width);
  add_values<E, N, R>(weights, chunk, seen, d * E::kBytes, sums);
  sums.store(value + d, width);
}

// Elements [d, end) of the values.
template <class E, int N>
LANE_INLINE void weigh_span(const float* weights, const Chunk& chunk, const Seen& seen, int64_t d,
                            int64_t end, float* value, int64_t width) {
  constexpr int R = tile_runs(N) < 4 ? tile_runs(N) : 4;
  for (; d + R * kLanes <= end; d += R * kLanes) weigh<E, N, R>(weights, chunk, seen, d, value, width);
  for (; d + kLanes <= end; d += kLanes) weigh<E, N, 1>(weights, chunk, seen, d, value, width);
  if (d == end) return;
  TileSums<N, 1> sums;
  sums.load(value + d, width);
  add_values<E, N, 1, true>(weights, chunk, seen, d * E::kBytes, sums, end - d);
  sums.store(value + d, width);
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
