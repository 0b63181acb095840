// angles: cos and sin of each row's position, once for all layers that rotate alike.
#pragma once
#include "elements.h"

namespace ostinato::cuda {

OSTINATO_DEVICE inline void run(const call::Angles& c, const Machine& m, Work& w) {
  const float* factors = c.has_factors ? reinterpret_cast<const float*>(m.weights[c.factors]) : nullptr;
  for_each_piece(w, m.step().rows, c.dims / 2, [&](int32_t row, const Lane<int32_t>& i, const Mask& inside) {
    const int32_t position = m.row_position()[row];
    const Lane<float> exponent = convert<float>(2 * i) / static_cast<float>(c.dims);
    Lane<float> frequency = power(Lane<float>(c.base), -exponent);
    if (factors != nullptr) frequency = frequency / load_where(inside, factors, i, 1.0f);
    const Lane<float> theta = static_cast<float>(position == kInactive ? 0 : position) * c.scale * frequency;
    store_where(inside, m.floats(c.out), row * c.dims + 2 * i, cos(theta));
    store_where(inside, m.floats(c.out), row * c.dims + 2 * i + 1, sin(theta));
  });
}

}  // namespace ostinato::cuda
