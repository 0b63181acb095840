// The best x = scale q for runs of values, q being one of a set that reaches further on one side of zero: the
// value of the largest magnitude is put near that side's end. Squared errors weigh as much as the value
// squared.
//
// (The methods of llama.cpp's Q6_K, IQ4_NL and Q3_K, from which the weights and the widths are taken too.)
// Included by encoders.cpp.

constexpr float kNothing = 1e-15f;  // runs whose largest magnitude is below are zero

// kLanes runs, divided by `extreme`: the value of the largest magnitude in each, with its sign (0: all is
// zero).
template <int kCount>
struct ScaledRuns {
  Vec x[kCount], extreme{};

  explicit LANE_INLINE ScaledRuns(const float* values) {
    load_runs<kCount>(values, x);
    Vec peak{};
    for (const Vec& value : x) {
      const Vec size = magnitude(value);
      extreme = size > peak ? value : extreme;
      peak = larger(size, peak);
    }
    extreme = peak >= kNothing ? extreme : Vec{};
    const Vec inverse = peak >= kNothing ? 1 / extreme : Vec{};
    for (Vec& value : x) value *= inverse;
  }
};

// Sums over a run of w x q and of w q q, where w = x x: the least-squares scale is their quotient, and
// xq xq / qq is what it takes away from the error.
struct ScaleSums {
  Vec xq{}, qq{};

  LANE_INLINE void add(Vec x, Vec q) {
    const Vec wq = x * x * q;
    xq += wq * x;
    qq += wq * q;
  }
  LANE_INLINE Mask better_than(const ScaleSums& other) const {
    return (qq > 0) & (xq * xq * other.qq > other.xq * other.xq * qq);
  }
  LANE_INLINE void take(Mask where, const ScaleSums& other) {
    xq = where ? other.xq : xq;
    qq = where ? other.qq : qq;
  }
  LANE_INLINE Vec scale() const { return qq > 0 ? xq / qq : Vec{}; }
};

// Rule::kWidths lists what the extreme value is tried at, in units of q; Rule::nearest(v) is the q nearest to
// v. Errors are summed as such: as the difference between xx and xq xq / qq they would vanish beside one
// large value.
template <class Rule>
void fit_scaled(const float* x, float* scale) {
  for (int run = 0; run < kChunk / Rule::kCount; run += kLanes) {
    const ScaledRuns<Rule::kCount> runs(x + run * Rule::kCount);
    Vec best{}, least = splat(std::numeric_limits<float>::infinity());
    for (const float width : Rule::kWidths) {
      Vec q[Rule::kCount];
      ScaleSums sums;
      for (int i = 0; i < Rule::kCount; ++i) {
        q[i] = Rule::nearest(width * runs.x[i]);
        sums.add(runs.x[i], q[i]);
      }
      const Vec tried = sums.scale();
      Vec error{};
      for (int i = 0; i < Rule::kCount; ++i) {
        const Vec weighted = runs.x[i] * (runs.x[i] - tried * q[i]);
        error += weighted * weighted;
      }
      const Mask better = error < least;
      best = better ? tried : best;
      least = better ? error : least;
    }
    store(best * runs.extreme, scale + run);
  }
}

// q in -kTop .. kTop - 1, from one width; then each q moves to where the scale of all others puts it, as long
// as the error falls. For types of so few q that widths alone do not find the best.
template <int kCount, int kTop>
struct Descent {
  static constexpr float kReach = kTop;
  static constexpr int kRounds = 5;
  ScaledRuns<kCount> runs;
  Vec q[kCount];
  ScaleSums sums;

  explicit LANE_INLINE Descent(const float* x) : runs(x) {
    for (int i = 0; i < kCount; ++i) {
      q[i] = nearest(-kReach * runs.x[i]);
      sums.add(runs.x[i], q[i]);
    }
  }

  static LANE_INLINE Vec nearest(Vec value) { return round_even(clamp(value, -kReach, kReach - 1)); }

  LANE_INLINE void move(int i) {
    const Vec x = runs.x[i], wq = x * x * q[i];
    const ScaleSums others = {sums.xq - wq * x, sums.qq - wq * q[i]};
    const Mask movable = magnitude(others.xq) > 0;
    const Vec moved = nearest(movable ? x * others.qq / others.xq : Vec{});
    ScaleSums all = others;
    all.add(x, moved);
    const Mask better = movable & all.better_than(sums);
    q[i] = better ? moved : q[i];
    sums.take(better, all);
  }

  LANE_INLINE Vec scale() {
    for (int round = 0; round < kRounds; ++round)
      for (int i = 0; i < kCount; ++i) move(i);
    return sums.scale() * runs.extreme;
  }
};

template <int kCount, int kTop>
void fit_by_descent(const float* x, float* scale) {
  for (int run = 0; run < kChunk / kCount; run += kLanes)
    store(Descent<kCount, kTop>(x + run * kCount).scale(), scale + run);
}
