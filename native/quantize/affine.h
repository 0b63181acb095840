// The best x = scale q - low for runs of values: q in 0 .. kTop, scale >= 0, low >= 0.
//
// A few widths of the range are tried: for each, values are rounded to q, the weighted least-squares line
// through (q, x) is solved for, and the one of the smallest weighted error wins. (The method of llama.cpp's
// K-quants, from which the weights, the widths and the measure of the error are taken too.) Included by
// encoders.cpp.

// kCount values a run. Widths tried, in units of q: kTop + kFirst + kStep t, t < kTries. The error is the sum
// of |difference| or of its square.
template <int kCount_, int kTop_>
struct AffineRule {
  static constexpr int kCount = kCount_;
  static constexpr float kTop = kTop_;
};

// Each value weighs as much as its magnitude plus the run's root mean square.
template <int kCount>
LANE_INLINE void weigh_with_rms(const Vec* x, Vec* weight) {
  Vec squares{};
  for (int i = 0; i < kCount; ++i) squares += x[i] * x[i];
  Vec rms = squares * (1.0f / kCount);
  for (int lane = 0; lane < kLanes; ++lane) rms[lane] = std::sqrt(rms[lane]);
  for (int i = 0; i < kCount; ++i) weight[i] = rms + magnitude(x[i]);
}

struct RuleQ2_K : AffineRule<16, 3> {
  static constexpr float kFirst = -0.5f, kStep = 0.1f;
  static constexpr int kTries = 16;
  static LANE_INLINE void weigh(const Vec* x, Vec* weight) {
    for (int i = 0; i < kCount; ++i) weight[i] = magnitude(x[i]);
  }
  static LANE_INLINE Vec cost(Vec difference) { return magnitude(difference); }
};

struct RuleQ4_K : AffineRule<32, 15> {
  static constexpr float kFirst = -1.0f, kStep = 0.1f;
  static constexpr int kTries = 21;
  static LANE_INLINE void weigh(const Vec* x, Vec* weight) { weigh_with_rms<kCount>(x, weight); }
  static LANE_INLINE Vec cost(Vec difference) { return difference * difference; }
};

struct RuleQ5_K : AffineRule<32, 31> {
  static constexpr float kFirst = -0.5f, kStep = 0.1f;
  static constexpr int kTries = 16;
  static LANE_INLINE void weigh(const Vec* x, Vec* weight) { weigh_with_rms<kCount>(x, weight); }
  static LANE_INLINE Vec cost(Vec difference) { return difference * difference; }
};

// kLanes runs, and what all tries share.
template <class Rule>
struct AffineRuns {
  static constexpr int kCount = Rule::kCount;
  static constexpr float kTop = Rule::kTop;
  struct Line {
    Vec scale, floor;  // x = scale q + floor
  };
  Vec x[kCount], weight[kCount], q[kCount];
  Vec sum_w{}, sum_x{}, floor{}, top;

  explicit LANE_INLINE AffineRuns(const float* values) {
    load_runs<kCount>(values, x);
    Rule::weigh(x, weight);
    top = x[0];
    for (int i = 0; i < kCount; ++i) {
      floor = smaller(floor, x[i]);
      top = larger(top, x[i]);
      sum_w += weight[i];
      sum_x += weight[i] * x[i];
    }
  }

  // Rounds to q such that what lies between `from` and the largest value takes `width` steps.
  LANE_INLINE void round(Vec from, float width) {
    const Vec range = top - from;
    const Vec per_unit = range > kTiny ? width / range : Vec{};
    for (int i = 0; i < kCount; ++i) q[i] = round_even(clamp(per_unit * (x[i] - from), 0, kTop));
  }

  // The line through (q, x), through zero where its floor would be above; 0 in `solved` where all q are
  // equal.
  LANE_INLINE Line solve(Mask* solved) const {
    Vec sum_q{}, sum_qq{}, sum_xq{};
    for (int i = 0; i < kCount; ++i) {
      const Vec wq = weight[i] * q[i];
      sum_q += wq;
      sum_qq += wq * q[i];
      sum_xq += wq * x[i];
    }
    const Vec determinant = sum_w * sum_qq - sum_q * sum_q;
    *solved = determinant > 0;
    const Vec base = (sum_qq * sum_x - sum_q * sum_xq) / determinant;
    const Vec slope = (sum_w * sum_xq - sum_x * sum_q) / determinant;
    const Mask above = base > 0;
    return {above ? sum_xq / sum_qq : slope, above ? Vec{} : base};
  }

  LANE_INLINE Vec error(const Line& line) const {
    Vec sum{};
    for (int i = 0; i < kCount; ++i) sum += weight[i] * Rule::cost(line.scale * q[i] + line.floor - x[i]);
    return sum;
  }

  // Each try counts from the floor of the best line so far.
  LANE_INLINE Line search() {
    Line best = {(top - floor) / kTop, floor};
    round(floor, kTop);
    Vec least = error(best);
    for (int t = 0; t < Rule::kTries; ++t) {
      round(best.floor, kTop + Rule::kFirst + Rule::kStep * static_cast<float>(t));
      Mask solved;
      const Line line = solve(&solved);
      const Vec cost = error(line);
      const Mask better = solved & (cost < least);
      best.scale = better ? line.scale : best.scale;
      best.floor = better ? line.floor : best.floor;
      least = better ? cost : least;
    }
    return best;
  }
};

// scale and low of each of a chunk's runs.
template <class Rule>
void fit_affine(const float* x, float* scale, float* low) {
  for (int run = 0; run < kChunk / Rule::kCount; run += kLanes) {
    const auto line = AffineRuns<Rule>(x + run * Rule::kCount).search();
    store(line.scale, scale + run);
    store(-line.floor, low + run);
  }
}
