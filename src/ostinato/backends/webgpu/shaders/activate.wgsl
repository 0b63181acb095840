// Activations. Needs math.wgsl.

const GELU_SCALE = 0.7978845608;  // sqrt(2 / pi)
const GELU_CUBE = 0.044715;

// GELU by the logistic function: (1 + tanh u) / 2 = 1 / (1 + e^(-2u)), which does not cancel.
fn activate(x: f32) -> f32 {
  var u = x;
  if (act == u32(ACTIVATION_GELU)) {
    u = 2.0 * GELU_SCALE * fma(GELU_CUBE * x * x, x, x);
  }
  return x / (1.0 + exp_accurate(-u));
}
