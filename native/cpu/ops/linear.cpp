// linear and per_head: products with packed weights, outputs divided finely among the threads.
#include <algorithm>

#include "cpu/machine.h"

namespace ostinato::cpu {
namespace {

constexpr int64_t kRowBlock = 32;  // rows of one task where there are too few outputs to go round

// A product in progress: out = x . weight^T + bias.
struct Product {
  const Weight& weight;
  const float* bias;  // or nullptr
  const uint8_t* packed;
  int64_t row_bytes, prompt_rows;
  float* out;  // [rows, weight.rows]
};

// Outputs [first, first + count) of rows [begin, end). Prompt rows and generated rows are two products: a
// later kernel may treat the kinds differently.
void compute(const Machine& m, const Product& p, int64_t first, int64_t count, int64_t begin, int64_t end) {
  const int64_t n = p.weight.rows, split = std::clamp(p.prompt_rows, begin, end);
  for (const auto& [from, to] : {std::pair{begin, split}, std::pair{split, end}}) {
    if (from == to) continue;
    multiply(m.kernels, p.weight, first, count, p.packed + from * p.row_bytes, to - from,
             p.out + from * n + first, n);
  }
  for (int64_t row = begin; p.bias != nullptr && row < end; ++row) {
    float* out = p.out + row * n + first;
    m.vectors.add(out, p.bias + first, 1, count, out);
  }
}

// Activations of a value in the form that matmul wants, [rows, packed_bytes]; packed once per step and form.
const uint8_t* packed_rows(Machine& m, int32_t value, const Weight& weight) {
  const Packing packing = m.kernels.packing(weight.type);
  for (const PackedValue& p : m.scratch.packed) {
    if (p.value == value && p.packing == packing) return p.bytes.data();
  }
  PackedValue& p = m.scratch.packed[m.scratch.next_packed];
  m.scratch.next_packed = (m.scratch.next_packed + 1) % static_cast<int32_t>(m.scratch.packed.size());
  p.value = value, p.packing = packing;
  const int64_t row_bytes = m.kernels.packed_bytes(weight.type, weight.k);
  m.by_rows(m.count(value), 2 * weight.k, [&](int64_t row) {
    m.kernels.pack(weight.type, m.row(value, row), weight.k, p.bytes.data() + row * row_bytes);
  });
  return p.bytes.data();
}

// Packs every head of every row, [heads, rows, packed_bytes].
void pack_heads(Machine& m, int32_t x, const Weight& weight) {
  const int64_t rows = m.count(x), row_bytes = m.kernels.packed_bytes(weight.type, weight.k);
  m.by_rows(rows * weight.experts, 2 * weight.k, [&](int64_t task) {
    const int64_t head = task / rows, row = task % rows;
    m.kernels.pack(weight.type, m.row(x, row) + head * weight.k, weight.k,
                   m.scratch.heads.data() + task * row_bytes);
  });
}

}  // namespace

void linear(Machine& m, int32_t x, const Weight& weight, const float* bias, float* out) {
  const int64_t rows = m.count(x), n = weight.rows;
  if (rows == 0) return;
  const int64_t row_bytes = m.kernels.packed_bytes(weight.type, weight.k);
  const Product product{weight, bias, packed_rows(m, x, weight), row_bytes, m.prompt_count(x), out};
  const int64_t per_task = n >= 512 * m.pool.threads() ? 64 : 16;
  const int64_t parts = (n + per_task - 1) / per_task;
  const int64_t row_block = parts < 4 * m.pool.threads() ? kRowBlock : rows;
  const int64_t row_parts = (rows + row_block - 1) / row_block;
  m.share(parts * row_parts, rows * n * weight.k, [&](int64_t task, int) {
    const int64_t first = task % parts * per_task, begin = task / parts * row_block;
    compute(m, product, first, std::min(per_task, n - first), begin, std::min(begin + row_block, rows));
  });
}

void run(const op::Linear& i, Machine& m) {
  linear(m, i.x, m.weight(i.weight), m.vector(i.bias), m.data(i.out));
}

void run(const op::PerHead& i, Machine& m) {
  const Weight& weight = m.weight(i.weight);
  const int64_t rows = m.count(i.x), prompt = m.prompt_count(i.x), n = weight.rows / weight.experts;
  const int64_t row_bytes = m.kernels.packed_bytes(weight.type, weight.k), width = m.width(i.out);
  constexpr int64_t kPerTask = 64;
  const int64_t parts = (n + kPerTask - 1) / kPerTask;
  if (rows == 0) return;
  pack_heads(m, i.x, weight);
  m.share(weight.experts * parts, rows * weight.rows * weight.k, [&](int64_t task, int) {
    const int64_t head = task / parts, first = task % parts * kPerTask, count = std::min(kPerTask, n - first);
    for (const auto& [from, to] : {std::pair{int64_t{0}, prompt}, std::pair{prompt, rows}}) {
      if (from == to) continue;
      multiply(m.kernels, weight, head * n + first, count,
               m.scratch.heads.data() + (head * rows + from) * row_bytes, to - from,
               m.row(i.out, from) + head * n + first, width);
    }
  });
}

}  // namespace ostinato::cpu
