// embed and select: rows taken from a table, or from a value.
#include <algorithm>

#include "cpu/machine.h"

namespace ostinato::cpu {

void run(const op::Embed& i, Machine& m) {
  const Weight& table = m.weight(i.table);
  m.by_rows(m.count(i.out), table.k, [&](int64_t row) {
    m.kernels.dequantize(table.type, weight_row(table, m.rows.token[row]), table.k, m.row(i.out, row));
  });
}

void run(const op::Select& i, Machine& m) {
  for (int32_t r = 0; r < m.rows.logit_count; ++r) {
    std::copy_n(m.row(i.x, m.rows.logit[r]), m.width(i.x), m.row(i.out, r));
  }
}

}  // namespace ostinato::cpu
