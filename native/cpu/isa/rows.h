// Norms, sums and reductions over one row. Part of isa/vectors.cpp.

void rms_norm(const float* x, const float* gain, float eps, int64_t n, float* out) {
  F16x squares = splat(0);
  by_lanes(n, [&](int64_t i, int64_t lanes) {
    const F16x v = load_some(x + i, lanes);
    squares = fma(v, v, squares);
  });
  const float mean = sum_lanes(squares) / static_cast<float>(n);
  const F16x scale = splat(1.0f / __builtin_sqrtf(mean + eps));
  by_lanes(n, [&](int64_t i, int64_t lanes) {
    const F16x v = load_some(x + i, lanes) * scale;
    store_some(out + i, lanes, gain == nullptr ? v : v * load_some(gain + i, lanes));
  });
}

void layer_norm(const float* x, const float* gain, const float* bias, float eps, int64_t n, float* out) {
  F16x total = splat(0), squares = splat(0);
  by_lanes(n, [&](int64_t i, int64_t lanes) { total += load_some(x + i, lanes); });
  const F16x mean = splat(sum_lanes(total) / static_cast<float>(n));
  by_lanes(n, [&](int64_t i, int64_t lanes) {
    const F16x v = load_some(x + i, lanes) - mean;
    const F16x centred = lanes == kLanes ? v : select(iota() < static_cast<int32_t>(lanes), v, splat(0));
    squares = fma(centred, centred, squares);
  });
  const float variance = sum_lanes(squares) / static_cast<float>(n);
  const F16x scale = splat(1.0f / __builtin_sqrtf(variance + eps));
  by_lanes(n, [&](int64_t i, int64_t lanes) {
    F16x v = (load_some(x + i, lanes) - mean) * scale;
    if (gain != nullptr) v *= load_some(gain + i, lanes);
    store_some(out + i, lanes, bias == nullptr ? v : v + load_some(bias + i, lanes));
  });
}

void add(const float* a, const float* b, float scale, int64_t n, float* out) {
  by_lanes(n, [&](int64_t i, int64_t lanes) {
    store_some(out + i, lanes, fma(splat(scale), load_some(b + i, lanes), load_some(a + i, lanes)));
  });
}

void scale(const float* x, float factor, float cap, int64_t n, float* out) {
  by_lanes(n, [&](int64_t i, int64_t lanes) {
    const F16x v = load_some(x + i, lanes) * splat(factor);
    store_some(out + i, lanes, cap == 0 ? v : splat(cap) * tanh16(v / splat(cap)));
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
  int64_t i = 0;
#if defined(__aarch64__)
  for (; i + 4 <= n; i += 4) vst1_u16(out + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(x + i))));
#endif
  for (; i < n; ++i) out[i] = half_of(x[i]);
}
