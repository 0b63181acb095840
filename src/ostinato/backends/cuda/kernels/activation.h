// Activation functions of `glu` and `experts`.
#pragma once
#include "tables.h"
#include "warp.h"

namespace ostinato::cuda {

OSTINATO_DEVICE inline Lane<float> silu(const Lane<float>& x) { return x / (1.0f + exp(-x)); }

// The approximation by tanh.
OSTINATO_DEVICE inline Lane<float> gelu(const Lane<float>& x) {
  constexpr float kRootOfTwoOverPi = 0.7978845608028654f, kCubic = 0.044715f;
  return 0.5f * x * (1.0f + tanh(kRootOfTwoOverPi * (x + kCubic * (x * x * x))));
}

OSTINATO_DEVICE inline Lane<float> activate(int32_t act, const Lane<float>& x) {
  return act == static_cast<int32_t>(Activation::kSilu) ? silu(x) : gelu(x);
}

}  // namespace ostinato::cuda
