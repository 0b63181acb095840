// embed: rows taken from a table.
#include "cpu/machine.h"

namespace ostinato::cpu {
namespace {

int32_t index_of(const Rows& rows, EmbedBy by, int64_t row) {
  switch (by) {
    case EmbedBy::kToken:
      return rows.token[row];
    case EmbedBy::kPosition:
      return rows.position[row];
    case EmbedBy::kFirst:
      break;
  }
  return 0;
}

}  // namespace

void run(const op::Embed& i, Machine& m) {
  const Weight& table = m.weight(i.table);
  m.by_rows(m.count(i.out), table.k, [&](int64_t row) {
    float* out = m.row(i.out, row);
    const uint8_t* found = weight_row(table, index_of(m.rows, static_cast<EmbedBy>(i.by), row));
    m.kernels.dequantize(table.type, found, table.k, out);
    if (i.scale != 1) m.vectors.scale(out, i.scale, 0, table.k, out);
  });
}

}  // namespace ostinato::cpu
