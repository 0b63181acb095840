// One row's move of recurrent state: causal convolution, gated delta rule, Mamba 2. Part of isa/vectors.cpp.

void conv(const float* const* window, const float* kernel, int64_t stride, const float* bias, int32_t taps,
          int64_t n, float* out) {
  by_lanes(n, [&](int64_t c, int64_t lanes) {
    F16x sum = splat(0);
    for (int32_t t = 0; t < taps; ++t) {
      sum = fma(load_some(window[t] + c, lanes), load_some(kernel + t * stride + c, lanes), sum);
    }
    store_some(out + c, lanes, bias == nullptr ? sum : sum + load_some(bias + c, lanes));
  });
}

// Values j .. j + 16 C of the head, `lanes` of the last vector: they do not meet the others.
template <int C>
LANE_INLINE void delta_values(const DeltaRow& r, int64_t j, int64_t lanes) {
  F16x found[C] = {}, change[C], out[C] = {};
  const auto at = [&](float* row, int c) { return row + j + c * kLanes; };
  const auto count = [&](int c) { return c == C - 1 ? lanes : kLanes; };
  for (int64_t d = 0; d < r.key_dim; ++d) {
    float* row = r.state + d * r.value_dim;
    const F16x kept = splat(r.kept[d * r.kept_stride]);
    for (int c = 0; c < C; ++c) {
      const F16x s = load_some(at(row, c), count(c)) * kept;
      store_some(at(row, c), count(c), s);
      found[c] = fma(splat(r.k[d]), s, found[c]);
    }
  }
  for (int c = 0; c < C; ++c)
    change[c] = splat(r.rate) * (load_some(r.v + j + c * kLanes, count(c)) - found[c]);
  for (int64_t d = 0; d < r.key_dim; ++d) {
    float* row = r.state + d * r.value_dim;
    for (int c = 0; c < C; ++c) {
      const F16x s = fma(splat(r.k[d]), change[c], load_some(at(row, c), count(c)));
      store_some(at(row, c), count(c), s);
      out[c] = fma(splat(r.q[d]), s, out[c]);
    }
  }
  for (int c = 0; c < C; ++c) store_some(at(r.out, c), count(c), splat(r.scale) * out[c]);
}

void delta(const DeltaRow& r) {
  int64_t j = 0;
  for (; j + 4 * kLanes <= r.value_dim; j += 4 * kLanes) delta_values<4>(r, j, kLanes);
  for (; j < r.value_dim; j += kLanes) {
    delta_values<1>(r, j, r.value_dim - j < kLanes ? r.value_dim - j : kLanes);
  }
}

void scan(const ScanRow& r) {
  for (int64_t p = 0; p < r.head_dim; ++p) {
    float* state = r.state + p * r.state_dim;
    const F16x kept = splat(r.kept), change = splat(r.time * r.x[p]);
    F16x sum = splat(0);
    by_lanes(r.state_dim, [&](int64_t i, int64_t lanes) {
      const F16x s = fma(change, load_some(r.b + i, lanes), load_some(state + i, lanes) * kept);
      store_some(state + i, lanes, s);
      sum = fma(s, load_some(r.c + i, lanes), sum);
    });
    r.out[p] = sum_lanes(sum) + r.skip * r.x[p];
  }
}
