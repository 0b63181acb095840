// Sub-scales and minima that fit better than the nearest ones: with both rounded, x = d sc q - dmin m, either
// may move by one, and the pair of the smallest weighted error is kept. (Beyond what llama.cpp does: the mean
// squared error of normally distributed values falls by 2 % in Q4_K and by 6 % in Q5_K.) Included by
// encoders.cpp.

// What a chunk's runs are stored as; d and dmin are those of the run's super-block.
template <class Rule>
struct StoredLines {
  static constexpr int kRuns = kChunk / Rule::kCount;
  float d[kRuns], dmin[kRuns], sc[kRuns], m[kRuns];
};

// kLanes runs, and the error of their values when each takes the nearest q for one line.
template <class Rule>
LANE_INLINE Vec error_of(const AffineRuns<Rule>& runs, Vec scale, Vec low) {
  const Vec inverse = scale > kTiny ? 1 / scale : Vec{};
  Vec sum{};
  for (int i = 0; i < Rule::kCount; ++i) {
    const Vec shifted = runs.x[i] + low;
    const Vec q = round_even(clamp(shifted * inverse, 0, Rule::kTop));
    sum += runs.weight[i] * Rule::cost(scale * q - shifted);
  }
  return sum;
}

template <class Rule>
void refine(const float* x, float top, StoredLines<Rule>* lines) {
  constexpr float kMoves[] = {0, -1, 1};  // as they are first: they win a tie
  for (int run = 0; run < kChunk / Rule::kCount; run += kLanes) {
    const AffineRuns<Rule> runs(x + run * Rule::kCount);
    const Vec d = load(lines->d + run), dmin = load(lines->dmin + run);
    const Vec sc = load(lines->sc + run), m = load(lines->m + run);
    Vec best_sc = sc, best_m = m, least = splat(std::numeric_limits<float>::infinity());
    for (const float up : kMoves)
      for (const float down : kMoves) {
        const Vec moved_sc = clamp(sc + up, 0, top), moved_m = clamp(m + down, 0, top);
        const Vec error = error_of(runs, d * moved_sc, dmin * moved_m);
        const Mask better = error < least;
        best_sc = better ? moved_sc : best_sc;
        best_m = better ? moved_m : best_m;
        least = better ? error : least;
      }
    store(best_sc, lines->sc + run);
    store(best_m, lines->m + run);
  }
}
