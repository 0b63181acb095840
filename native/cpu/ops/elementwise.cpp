// rms_norm, glu, add: one row at a time.
#include "cpu/machine.h"

namespace ostinato::cpu {

void run(const op::RmsNorm& i, Machine& m) {
  const int64_t width = m.width(i.x), part = width / i.groups;
  const float* gain = m.vector(i.gain);
  m.by_rows(m.count(i.x), width, [&](int64_t row) {
    for (int64_t at = 0; at < width; at += part) {
      m.vectors.rms_norm(m.row(i.x, row) + at, gain, i.eps, part, m.row(i.out, row) + at);
    }
  });
}

void run(const op::Glu& i, Machine& m) {
  const int64_t width = m.width(i.gate);
  m.by_rows(m.count(i.gate), 4 * width, [&](int64_t row) {
    m.vectors.glu(static_cast<Activation>(i.act), m.row(i.gate, row), m.row(i.up, row), width,
                  m.row(i.out, row));
  });
}

void run(const op::Add& i, Machine& m) {
  const int64_t width = m.width(i.a);
  m.by_rows(m.count(i.a), width,
            [&](int64_t row) { m.vectors.add(m.row(i.a, row), m.row(i.b, row), width, m.row(i.out, row)); });
}

}  // namespace ostinato::cpu
