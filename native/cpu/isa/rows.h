// Norms, sums, gated activations and reductions over one row. Part of isa/vectors.cpp.

void rms_norm(const float* x, const float* gain, float eps, int64_t n, float* out) {
  F16x squares = splat(0);
  by_lanes(n, [&](int64_t i, int64_t lanes) {
    const F16x v = load_some(x + i, lanes);
    squares = fma(v, v, squares);
  });
  const float mean = sum_lanes(squares) / static_cast<float>(n);
  const F16x scale = splat(1.0f / __builtin_sqrtf(mean + eps));
  by_lanes(n, [&](int64_t i, int64_t lanes) {
    store_some(out + i, lanes, load_some(x + i, lanes) * scale * load_some(gain + i, lanes));
  });
}

void add(const float* a, const float* b, int64_t n, float* out) {
  by_lanes(n, [&](int64_t i, int64_t lanes) {
    store_some(out + i, lanes, load_some(a + i, lanes) + load_some(b + i, lanes));
  });
}

void add_scaled(float weight, const float* x, int64_t n, float* out) {
  by_lanes(n, [&](int64_t i, int64_t lanes) {
    store_some(out + i, lanes, fma(splat(weight), load_some(x + i, lanes), load_some(out + i, lanes)));
  });
}

// x / (1 + e^-x).
LANE_INLINE F16x silu(F16x x) { return x / (splat(1.0f) + exp16(-x)); }

// x/2 (1 + tanh(y)) = x - x / (e^2y + 1), y = sqrt(2/pi) (x + 0.044715 x^3).
LANE_INLINE F16x gelu(F16x x) {
  const F16x y = splat(0.797884561f) * fma(x * x * x, splat(0.044715f), x);
  return x - x / (exp16(y + y) + splat(1.0f));
}

void glu(Activation act, const float* gate, const float* up, int64_t n, float* out) {
  by_lanes(n, [&](int64_t i, int64_t lanes) {
    const F16x g = load_some(gate + i, lanes);
    store_some(out + i, lanes, (act == Activation::kSilu ? silu(g) : gelu(g)) * load_some(up + i, lanes));
  });
}

float max(const float* x, int64_t n) {
  F16x best = splat(-__builtin_inff());
  by_lanes(
      n, [&](int64_t i, int64_t lanes) { best = larger(load_some(x + i, lanes, -__builtin_inff()), best); });
  return max_lanes(best);
}

void exp(const float* x, float shift, int64_t n, float* out) {
  by_lanes(n, [&](int64_t i, int64_t lanes) {
    store_some(out + i, lanes, exp16(load_some(x + i, lanes) - splat(shift)));
  });
}

float sum_exp(const float* x, float shift, int64_t n) {
  F16x total = splat(0);
  by_lanes(n, [&](int64_t i, int64_t lanes) {
    total += exp16(load_some(x + i, lanes, -__builtin_inff()) - splat(shift));
  });
  return sum_lanes(total);
}

void to_half(const float* x, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = half_of(x[i]);
}
