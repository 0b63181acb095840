// Norms, gates, activations, sums and factors: one row at a time.
#include <cmath>

#include "cpu/machine.h"

namespace ostinato::cpu {
namespace {

// Elements of a gain or bias for the part of a row that begins at `at`; it may hold one for every part.
const float* of_part(const Machine& m, int32_t weight, int64_t part, int64_t at) {
  const float* all = m.vector(weight);
  return all == nullptr || m.weight(weight).k == part ? all : all + at;
}

}  // namespace

void run(const op::RmsNorm& i, Machine& m) {
  const int64_t width = m.width(i.x), part = width / i.groups;
  m.by_rows(m.count(i.x), width, [&](int64_t row) {
    for (int64_t at = 0; at < width; at += part) {
      m.vectors.rms_norm(m.row(i.x, row) + at, of_part(m, i.gain, part, at), i.eps, part,
                         m.row(i.out, row) + at);
    }
  });
}

void run(const op::LayerNorm& i, Machine& m) {
  const int64_t width = m.width(i.x), part = width / i.groups;
  m.by_rows(m.count(i.x), width, [&](int64_t row) {
    for (int64_t at = 0; at < width; at += part) {
      m.vectors.layer_norm(m.row(i.x, row) + at, of_part(m, i.gain, part, at), of_part(m, i.bias, part, at),
                           i.eps, part, m.row(i.out, row) + at);
    }
  });
}

void run(const op::Temper& i, Machine& m) {
  const int64_t width = m.width(i.x);
  m.by_rows(m.count(i.x), width, [&](int64_t row) {
    const float whole = std::floor((static_cast<float>(m.rows.position[row]) + i.offset) / i.period);
    m.vectors.scale(m.row(i.x, row), 1.0f + i.beta * std::log1p(whole), 0, width, m.row(i.out, row));
  });
}

void run(const op::Glu& i, Machine& m) {
  const int64_t gates = m.width(i.gate), width = m.width(i.up);
  const Gate gate{static_cast<Activation>(i.act), i.limit, i.shift};
  m.by_rows(m.count(i.up), 4 * width, [&](int64_t row) {
    m.vectors.glu(gate, m.row(i.gate, row), gates, m.row(i.up, row), width, m.row(i.out, row));
  });
}

void run(const op::Activate& i, Machine& m) {
  const int64_t width = m.width(i.x);
  m.by_rows(m.count(i.x), 4 * width, [&](int64_t row) {
    m.vectors.activate(static_cast<Activation>(i.act), m.row(i.x, row), width, m.row(i.out, row));
  });
}

void run(const op::Scale& i, Machine& m) {
  const int64_t width = m.width(i.x);
  m.by_rows(m.count(i.x), width, [&](int64_t row) {
    m.vectors.scale(m.row(i.x, row), i.factor, i.cap, width, m.row(i.out, row));
  });
}

void run(const op::Add& i, Machine& m) {
  const int64_t width = m.width(i.a);
  m.by_rows(m.count(i.a), width, [&](int64_t row) {
    m.vectors.add(m.row(i.a, row), m.row(i.b, row), i.scale, width, m.row(i.out, row));
  });
}

}  // namespace ostinato::cpu
