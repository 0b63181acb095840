// linear and per_head: products with packed weights, outputs divided finely among the threads.
#include <algorithm>

#include "cpu/machine.h"
#include "cpu/packed.h"

namespace ostinato::cpu {
namespace {

constexpr int64_t kRowBlock = 32;  // rows of one task where there are too few outputs to go round

// Adds a bias (or nullptr) to outputs [first, first + count) of rows [begin, end), `width` apart.
void add_bias(const Machine& m, const float* bias, int64_t first, int64_t count, int64_t begin, int64_t end,
              float* out, int64_t width) {
  for (int64_t row = begin; bias != nullptr && row < end; ++row) {
    float* to = out + row * width + first;
    m.vectors.add(to, bias + first, 1, count, to);
  }
}

// Activations of a value in the forms that its products want; packed once per step and forms.
PackedRows packed_rows(Machine& m, int32_t value, const Weight& weight) {
  const Forms wanted = forms(m.kernels, weight.type);
  const int64_t prompt = m.prompt_count(value);
  for (const PackedValue& p : m.scratch.packed) {
    if (p.value == value && p.forms == wanted) return {m.kernels, weight, prompt, p.bytes.data()};
  }
  PackedValue& p = m.scratch.packed[m.scratch.next_packed];
  m.scratch.next_packed = (m.scratch.next_packed + 1) % static_cast<int32_t>(m.scratch.packed.size());
  p.value = value, p.forms = wanted;
  const PackedRows packed(m.kernels, weight, prompt, p.bytes.data());
  m.by_rows(m.count(value), 2 * weight.k, [&](int64_t row) { packed.pack(row, m.row(value, row)); });
  return packed;
}

// The rows of one head.
PackedRows head_rows(const Machine& m, int32_t x, const Weight& weight, int64_t head) {
  const PackedRows first(m.kernels, weight, m.prompt_count(x), m.scratch.heads.data());
  return {m.kernels, weight, m.prompt_count(x), m.scratch.heads.data() + head * first.bytes(m.count(x))};
}

}  // namespace

void linear(Machine& m, int32_t x, const Weight& weight, const float* bias, float* out) {
  const int64_t rows = m.count(x), n = weight.rows;
  if (rows == 0) return;
  const PackedRows packed = packed_rows(m, x, weight);
  const int64_t per_task = n >= 512 * m.pool.threads() ? 64 : 16;
  const int64_t parts = (n + per_task - 1) / per_task;
  const int64_t row_block = parts < 4 * m.pool.threads() ? kRowBlock : rows;
  const int64_t row_parts = (rows + row_block - 1) / row_block;
  m.share(parts * row_parts, rows * n * weight.k, [&](int64_t task, int) {
    const int64_t first = task % parts * per_task, count = std::min(per_task, n - first);
    const int64_t begin = task / parts * row_block, end = std::min(begin + row_block, rows);
    packed.multiply(first, count, begin, end, out + begin * n + first, n);
    add_bias(m, bias, first, count, begin, end, out, n);
  });
}

void run(const op::Linear& i, Machine& m) {
  linear(m, i.x, m.weight(i.weight), m.vector(i.bias), m.data(i.out));
}

void run(const op::PerHead& i, Machine& m) {
  const Weight& weight = m.weight(i.weight);
  const int64_t rows = m.count(i.x), n = weight.rows / weight.experts;
  constexpr int64_t kPerTask = 64;
  const int64_t parts = (n + kPerTask - 1) / kPerTask;
  if (rows == 0) return;
  m.by_rows(rows * weight.experts, 2 * weight.k, [&](int64_t task) {
    const int64_t head = task / rows, row = task % rows;
    head_rows(m, i.x, weight, head).pack(row, m.row(i.x, row) + head * weight.k);
  });
  m.share(weight.experts * parts, rows * weight.rows * weight.k, [&](int64_t task, int) {
    const int64_t head = task / parts, first = task % parts * kPerTask, count = std::min(kPerTask, n - first);
    head_rows(m, i.x, weight, head)
        .multiply(head * n + first, count, 0, rows, m.data(i.out) + head * n + first, m.width(i.out));
  });
}

}  // namespace ostinato::cpu
