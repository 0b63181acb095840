// linear, gated and per_head: products with packed weights, outputs divided finely among the threads.
#include <algorithm>

#include "cpu/machine.h"
#include "cpu/packed.h"

namespace ostinato::cpu {
namespace {

// Outputs [first, first + count) of rows [begin, end).
struct Tile {
  int64_t first, count, begin, end;
};

// Calls body(tile, thread) for n outputs of all rows of x, each a sum of k products.
template <class Body>
void by_tiles(Machine& m, int32_t x, int64_t n, int64_t k, Body&& body) {
  const int64_t rows = m.count(x);
  const Arithmetic& most = m.prompt_count(x) > 0 ? m.kernels.prompt : m.kernels.generated;
  // Few outputs are dealt finely, but many rows are multiplied in panels of 32 outputs, which should be full.
  const int64_t least = rows > 8 ? most.outputs / 2 : most.outputs / 4;
  const int64_t per_task = n >= 8 * most.outputs * m.pool.threads() ? most.outputs : least;
  const int64_t parts = (n + per_task - 1) / per_task;
  const int64_t row_block = parts < 4 * m.pool.threads() ? most.rows : rows;
  const int64_t row_parts = (rows + row_block - 1) / row_block;
  m.share(parts * row_parts, rows * n * k, [&](int64_t task, int thread) {
    const int64_t first = task % parts * per_task, begin = task / parts * row_block;
    body(Tile{first, std::min(per_task, n - first), begin, std::min(begin + row_block, rows)}, thread);
  });
}

// Multiplies a tile and adds the bias (or nullptr); row begin's outputs go to `out`, the next's `stride` on.
void multiply(const Machine& m, const PackedRows& packed, const Tile& t, const float* bias, float* out,
              int64_t stride) {
  packed.multiply(t.first, t.count, t.begin, t.end, out, stride);
  for (int64_t row = t.begin; bias != nullptr && row < t.end; ++row, out += stride) {
    m.vectors.add(out, bias + t.first, 1, t.count, out);
  }
}

// Activations of a value in the forms that its products want; packed once per step and forms. What the call
// before returned stays.
PackedRows packed_rows(Machine& m, int32_t value, const Weight& weight) {
  const Forms wanted = forms(m.kernels, weight.type);
  const int64_t prompt = m.prompt_count(value);
  auto& kept = m.scratch.packed;
  for (size_t index = 0; index < kept.size(); ++index) {
    if (kept[index].value != value || kept[index].forms != wanted) continue;
    m.scratch.next_packed = (index + 1) % kept.size();
    return {m.kernels, weight, prompt, kept[index].bytes.data()};
  }
  PackedValue& p = kept[m.scratch.next_packed];
  m.scratch.next_packed = (m.scratch.next_packed + 1) % kept.size();
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

void linear(Machine& m, int32_t x, const Weight& weight, const float* bias, const float* residual,
            float* out) {
  const int64_t rows = m.count(x), n = weight.rows;
  if (rows == 0) return;
  const PackedRows packed = packed_rows(m, x, weight);
  by_tiles(m, x, n, weight.k, [&](const Tile& t, int) {
    multiply(m, packed, t, bias, out + t.begin * n + t.first, n);
    for (int64_t row = t.begin; residual != nullptr && row < t.end; ++row) {
      const int64_t at = row * n + t.first;
      m.vectors.add(residual + at, out + at, 1, t.count, out + at);
    }
  });
}

void run(const op::Linear& i, Machine& m) {
  const float* residual = i.residual < 0 ? nullptr : m.data(i.residual);
  linear(m, i.x, m.weight(i.weight), m.vector(i.bias), residual, m.data(i.out));
}

void run(const op::Gated& i, Machine& m) {
  const Weight &gate = m.weight(i.gate), &up = m.weight(i.up);
  const int64_t rows = m.count(i.x), n = up.rows;
  if (rows == 0) return;
  const PackedRows gate_input = packed_rows(m, i.x, gate), up_input = packed_rows(m, i.x, up);
  const Gate how{static_cast<Activation>(i.act), i.limit, i.shift};
  by_tiles(m, i.x, n, 2 * up.k, [&](const Tile& t, int thread) {
    float* gates = m.scratch.gates.data() + thread * rows * kTileOutputs;
    float* out = m.data(i.out) + t.begin * n + t.first;
    multiply(m, gate_input, t, m.vector(i.gate_bias), gates, t.count);
    multiply(m, up_input, t, m.vector(i.up_bias), out, n);
    for (int64_t row = t.begin; row < t.end; ++row, gates += t.count, out += n) {
      m.vectors.glu(how, gates, t.count, out, t.count, out);
    }
  });
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
