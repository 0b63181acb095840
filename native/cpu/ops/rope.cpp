// angles and rope: cos and sin of each row's position, and the rotation of heads by them.
#include <algorithm>
#include <cmath>

#include "cpu/machine.h"

namespace ostinato::cpu {

void run(const op::Angles& i, Machine& m) {
  const float* factors = m.vector(i.factors);
  m.by_rows(m.count(i.out), 32 * i.dims, [&](int64_t row) {
    float* out = m.row(i.out, row);
    for (int32_t d = 0; d < i.dims / 2; ++d) {
      float frequency = std::pow(i.base, -(static_cast<float>(2 * d) / static_cast<float>(i.dims)));
      if (factors != nullptr) frequency /= factors[d];
      const float theta = static_cast<float>(m.rows.position[row]) * i.scale * frequency;
      out[2 * d] = i.gain * std::cos(theta);
      out[2 * d + 1] = i.gain * std::sin(theta);
    }
  });
}

void run(const op::Rope& i, Machine& m) {
  const int64_t width = m.width(i.x), head_dim = width / i.heads, half = m.width(i.angles) / 2;
  const bool norm = i.style == static_cast<int32_t>(RopeStyle::kNorm);
  const int64_t step = norm ? 2 : 1, partner = norm ? 1 : half;  // pairs: (2d, 2d + 1) or (d, d + half)
  m.by_rows(m.count(i.x), 2 * width, [&](int64_t row) {
    const float* angles = m.row(i.angles, row);
    float* out = m.row(i.out, row);
    std::copy_n(m.row(i.x, row), width, out);
    for (float* head = out + i.start; head < out + width; head += head_dim) {
      for (int64_t d = 0; d < half; ++d) {
        float& a = head[step * d];
        float& b = head[step * d + partner];
        const float cos = angles[2 * d], sin = angles[2 * d + 1], first = a;
        a = first * cos - b * sin;
        b = first * sin + b * cos;
      }
    }
  });
}

}  // namespace ostinato::cpu
