// part, join, select, pool: rows made of parts of rows, or of other rows.
#include <algorithm>

#include "cpu/machine.h"

namespace ostinato::cpu {

void run(const op::Part& i, Machine& m) {
  const int64_t head = m.width(i.x) / i.heads;
  m.by_rows(m.count(i.x), m.width(i.out), [&](int64_t row) {
    for (int64_t h = 0; h < i.heads; ++h) {
      std::copy_n(m.row<int32_t>(i.x, row) + h * head + i.start, i.width,
                  m.row<int32_t>(i.out, row) + h * i.width);
    }
  });
}

void run(const op::Join& i, Machine& m) {
  const int64_t first = m.width(i.a) / i.heads, second = m.width(i.b) / (i.shared ? 1 : i.heads);
  m.by_rows(m.count(i.a), m.width(i.out), [&](int64_t row) {
    int32_t* out = m.row<int32_t>(i.out, row);
    for (int64_t h = 0; h < i.heads; ++h) {
      out = std::copy_n(m.row<int32_t>(i.a, row) + h * first, first, out);
      out = std::copy_n(m.row<int32_t>(i.b, row) + (i.shared ? 0 : h * second), second, out);
    }
  });
}

void run(const op::Select& i, Machine& m) {
  for (int32_t r = 0; r < m.rows.logit_count; ++r) {
    std::copy_n(m.row<int32_t>(i.x, m.rows.logit[r]), m.width(i.x), m.row<int32_t>(i.out, r));
  }
}

void run(const op::Pool& i, Machine& m) {
  const int64_t width = m.width(i.x);
  for (int32_t r = 0; r < m.rows.logit_count; ++r) {
    const int32_t last = m.rows.logit[r], first = m.rows.span[m.rows.span_of[last]].first;
    const bool from_last = i.pooling == static_cast<int32_t>(Pooling::kLast);
    float* out = m.row(i.out, r);
    std::copy_n(m.row(i.x, from_last ? last : first), width, out);
    if (i.pooling != static_cast<int32_t>(Pooling::kMean)) continue;
    for (int32_t row = first + 1; row <= last; ++row) m.vectors.add(out, m.row(i.x, row), 1, width, out);
    m.vectors.scale(out, 1.0f / static_cast<float>(last - first + 1), 0, width, out);
  }
}

}  // namespace ostinato::cpu
