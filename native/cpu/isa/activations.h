// Activations, alone and as gates. Part of isa/vectors.cpp.

LANE_INLINE F16x sigmoid16(F16x x) { return splat(1.0f) / (splat(1.0f) + exp16(-x)); }

// Each is a type, so that a loop over a row is compiled for it.
struct Silu {
  LANE_INLINE F16x operator()(F16x x) const { return x / (splat(1.0f) + exp16(-x)); }
};
// x/2 (1 + tanh(y)) = x - x / (e^2y + 1), y = sqrt(2/pi) (x + 0.044715 x^3).
struct Gelu {
  LANE_INLINE F16x operator()(F16x x) const {
    const F16x y = splat(0.797884561f) * fma(x * x * x, splat(0.044715f), x);
    return x - x / (exp16(y + y) + splat(1.0f));
  }
};
struct GeluErf {
  LANE_INLINE F16x operator()(F16x x) const {
    return splat(0.5f) * x * (splat(1.0f) + erf16(x * splat(0.707106781f)));
  }
};
struct QuickGelu {
  LANE_INLINE F16x operator()(F16x x) const { return x / (splat(1.0f) + exp16(splat(-1.702f) * x)); }
};
struct Relu {
  LANE_INLINE F16x operator()(F16x x) const { return select(below(x, splat(0.0f)), splat(0.0f), x); }
};
struct ReluSquared {
  LANE_INLINE F16x operator()(F16x x) const { return Relu{}(x)*Relu{}(x); }
};
struct Sigmoid {
  LANE_INLINE F16x operator()(F16x x) const { return sigmoid16(x); }
};
// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|).
struct Softplus {
  LANE_INLINE F16x operator()(F16x x) const {
    const I16x negative = below(x, splat(0.0f));
    return select(negative, splat(0.0f), x) + log1p16(exp16(select(negative, x, -x)));
  }
};
struct Identity {
  LANE_INLINE F16x operator()(F16x x) const { return x; }
};

// Calls body(the activation's type).
template <class Body>
LANE_INLINE void by_activation(Activation act, Body body) {
  switch (act) {
    case Activation::kSilu:
      return body(Silu{});
    case Activation::kGelu:
      return body(Gelu{});
    case Activation::kGeluErf:
      return body(GeluErf{});
    case Activation::kQuickGelu:
      return body(QuickGelu{});
    case Activation::kRelu:
      return body(Relu{});
    case Activation::kReluSquared:
      return body(ReluSquared{});
    case Activation::kSigmoid:
      return body(Sigmoid{});
    case Activation::kSoftplus:
      return body(Softplus{});
    case Activation::kIdentity:
      return body(Identity{});
  }
}

void activate(Activation act, const float* x, int64_t n, float* out) {
  by_activation(act, [&](auto function) {
    by_lanes(
        n, [&](int64_t i, int64_t lanes) { store_some(out + i, lanes, function(load_some(x + i, lanes))); });
  });
}

void glu(const Gate& how, const float* gate, int64_t gates, const float* up, int64_t n, float* out) {
  const F16x most = splat(how.limit > 0 ? how.limit : __builtin_inff());
  by_activation(how.act, [&](auto function) {
    by_lanes(n, [&](int64_t i, int64_t lanes) {
      F16x g = gates == 1 ? splat(gate[0]) : load_some(gate + i, lanes), u = load_some(up + i, lanes);
      g = select(below(most, g), most, g);
      u = select(below(most, u), most, select(below(u, -most), -most, u));
      store_some(out + i, lanes, function(g) * (u + splat(how.shift)));
    });
  });
}
