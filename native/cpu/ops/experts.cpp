// group, experts, combine: mixtures of experts, computed expert by expert.
#include <algorithm>
#include <string>
#include <utility>

#include "cpu/machine.h"
#include "cpu/packed.h"

namespace ostinato::cpu {
namespace {

// One `experts` in progress. "Sorted" rows are assignments in the order of (kind, expert).
class ExpertStep {
 public:
  ExpertStep(const op::Experts& i, Machine& m)
      : i_(i),
        m_(m),
        up_(m.weight(i.up)),
        gate_(gated() ? m.weight(i.gate) : up_),
        down_(m.weight(i.down)),
        assignments_(m.count(i.order)),
        top_k_(assignments_ / m.count(i.x)),
        order_(m.data<int32_t>(i.order)),
        offsets_(m.data<int32_t>(i.offsets)),
        up_input_(packed(up_, m.scratch.experts.up_input)),
        gate_input_(packed(gate_, one_form() ? m.scratch.experts.up_input : m.scratch.experts.gate_input)),
        down_input_(packed(down_, m.scratch.experts.down_input)) {}

  void run() {
    m_.by_rows(assignments_, 2 * up_.k, [&](int64_t sorted) { pack_input(sorted); });
    if (up_.streamed()) return stream();
    m_.hint_foreseen();
    for (int32_t expert = 0; expert < up_.experts; ++expert) take_in(expert);
    compute();
  }

 private:
  bool gated() const { return i_.gate >= 0; }
  int64_t hidden() const { return down_.k; }
  bool one_form() const { return forms(m_.kernels, gate_.type) == forms(m_.kernels, up_.type); }

  // Sorted rows: those of prompt rows are before the generated rows' buckets.
  PackedRows packed(const Weight& weight, const Buffer<uint8_t>& bytes) const {
    return {m_.kernels, weight, offsets_[up_.experts], bytes.data()};
  }

  int64_t rows_of(int32_t expert) const {
    int64_t rows = 0;
    by_buckets(expert, [&](int32_t bucket) { rows += offsets_[bucket + 1] - offsets_[bucket]; });
    return rows;
  }

  // Calls body(bucket) for the buckets of an expert that have rows.
  template <class Body>
  void by_buckets(int32_t expert, Body body) const {
    for (const int64_t bucket : {int64_t{expert}, expert + up_.experts}) {
      if (offsets_[bucket] < offsets_[bucket + 1]) body(static_cast<int32_t>(bucket));
    }
  }

  // Its rows are part of the next `compute`.
  void take_in(int32_t expert) {
    ExpertScratch& s = m_.scratch.experts;
    by_buckets(expert, [&](int32_t bucket) {
      s.active[active_++] = bucket;
      for (int32_t sorted = offsets_[bucket]; sorted < offsets_[bucket + 1]; ++sorted) {
        s.rows[rows_++] = sorted;
      }
    });
  }

  // All outputs of the experts that were taken in.
  void compute() {
    by_outputs(hidden(),
               [&](int32_t bucket, int64_t first, int64_t count, int) { enter(bucket, first, count); });
    m_.by_rows(rows_, 8 * hidden(), [&](int64_t row) { activate(m_.scratch.experts.rows[row]); });
    by_outputs(m_.width(i_.out), [&](int32_t bucket, int64_t first, int64_t count, int thread) {
      leave(bucket, first, count, thread);
    });
    active_ = rows_ = 0;
  }

  // Computes the experts of a store as they arrive: those that are there first, while others are read.
  void stream() {
    memory::Request& request = *m_.request;
    want(request);
    m_.hint_foreseen();  // behind what is missing now
    for (auto some = request.take(); !some.empty(); some = request.take()) {
      for (const memory::Arrival& arrival : some) receive(arrival);
      if (active_ > 0) compute();
      for (const memory::Arrival& arrival : some) {
        if (arrival.error.empty()) request.release(arrival.parcel);
      }
    }
  }

  void want(memory::Request& request) {
    std::vector<int32_t>& parcels = m_.scratch.experts.parcels;
    parcels.clear();
    for (int32_t expert = 0; expert < up_.experts; ++expert) {
      if (rows_of(expert) > 0) parcels.push_back(up_.parcel + expert);
    }
    request.want(parcels);
  }

  void receive(const memory::Arrival& arrival) {
    const int32_t expert = arrival.parcel - up_.parcel;
    if (!arrival.error.empty()) return fail(expert, arrival.error);
    for (Weight* weight : {&up_, &gate_, &down_}) {
      m_.place(weight->pieces[expert], arrival.parcel, weight->extent);
    }
    take_in(expert);
  }

  // Whoever wanted the expert has no numbers in this step; its outputs are zeros, so that the rest is
  // defined.
  void fail(int32_t expert, const std::string& reason) {
    by_buckets(expert, [&](int32_t bucket) {
      for (int32_t sorted = offsets_[bucket]; sorted < offsets_[bucket + 1]; ++sorted) {
        m_.fail_row(i_.x, order_[sorted] / top_k_, reason);
        std::fill_n(m_.row(i_.out, order_[sorted]), m_.width(i_.out), 0.0f);
      }
    });
  }

  // Calls body(bucket, first output, count, thread) for all outputs of all buckets that have rows.
  template <class Body>
  void by_outputs(int64_t outputs, Body body) {
    const int64_t parts = (outputs + kExpertOutputs - 1) / kExpertOutputs;
    m_.share(active_ * parts, rows_ * hidden() * up_.k, [&](int64_t task, int thread) {
      const int64_t first = task % parts * kExpertOutputs;
      body(m_.scratch.experts.active[task / parts], first, std::min(kExpertOutputs, outputs - first), thread);
    });
  }

  void pack_input(int64_t sorted) {
    ExpertScratch& s = m_.scratch.experts;
    const float* x = m_.row(i_.x, order_[sorted] / top_k_);
    if (i_.scales >= 0) {
      float* scaled = s.scaled.data() + sorted * up_.k;
      m_.vectors.scale(x, m_.data(i_.scales)[order_[sorted]], 0, up_.k, scaled);
      x = scaled;
    }
    up_input_.pack(sorted, x);
    if (!one_form()) gate_input_.pack(sorted, x);
  }

  // Adds outputs [first, first + count) of the bucket's expert, of `width`, to rows that are `stride` apart.
  void add_bias(int32_t weight, int32_t bucket, int64_t width, int64_t first, int64_t count, int64_t rows,
                float* out, int64_t stride) {
    if (weight < 0) return;
    const float* bias = m_.vector(weight) + bucket % up_.experts * width + first;
    for (int64_t row = 0; row < rows; ++row, out += stride) m_.vectors.add(out, bias, 1, count, out);
  }

  // Outputs of gate and up for the rows of a bucket.
  void enter(int32_t bucket, int64_t first, int64_t count) {
    ExpertScratch& s = m_.scratch.experts;
    const int64_t begin = offsets_[bucket], end = offsets_[bucket + 1], rows = end - begin;
    const int64_t weight_row = bucket % up_.experts * hidden() + first, out = begin * hidden() + first;
    up_input_.multiply(weight_row, count, begin, end, s.up.data() + out, hidden());
    add_bias(i_.up_bias, bucket, hidden(), first, count, rows, s.up.data() + out, hidden());
    if (!gated()) return;
    gate_input_.multiply(weight_row, count, begin, end, s.gate.data() + out, hidden());
    add_bias(i_.gate_bias, bucket, hidden(), first, count, rows, s.gate.data() + out, hidden());
  }

  void activate(int64_t sorted) {
    ExpertScratch& s = m_.scratch.experts;
    float* up = s.up.data() + sorted * hidden();
    const auto act = static_cast<Activation>(i_.act);
    if (gated()) {
      m_.vectors.glu({act, i_.limit, i_.shift}, s.gate.data() + sorted * hidden(), hidden(), up, hidden(),
                     up);
    } else {
      m_.vectors.activate(act, up, hidden(), up);
    }
    down_input_.pack(sorted, up);
  }

  // Outputs of down, each row put at its assignment.
  void leave(int32_t bucket, int64_t first, int64_t count, int thread) {
    ExpertScratch& s = m_.scratch.experts;
    float* tile = s.tile.data() + thread * kExpertRows * kExpertOutputs;
    const int64_t weight_row = bucket % up_.experts * m_.width(i_.out) + first;
    const Arithmetic& arithmetic = bucket < up_.experts ? m_.kernels.prompt : m_.kernels.generated;
    const int64_t most = arithmetic.rows / 2;  // what they make is still near when it is copied
    for (int64_t at = offsets_[bucket]; at < offsets_[bucket + 1]; at += most) {
      const int64_t rows = std::min<int64_t>(most, offsets_[bucket + 1] - at);
      down_input_.multiply(weight_row, count, at, at + rows, tile, kExpertOutputs);
      add_bias(i_.down_bias, bucket, m_.width(i_.out), first, count, rows, tile, kExpertOutputs);
      for (int64_t row = 0; row < rows; ++row) {
        std::copy_n(tile + row * kExpertOutputs, count, m_.row(i_.out, order_[at + row]) + first);
      }
    }
  }

  const op::Experts& i_;
  Machine& m_;
  Weight &up_, &gate_, &down_;  // without a gate, gate_ is up_
  const int64_t assignments_, top_k_;
  const int32_t* order_;
  const int32_t* offsets_;
  const PackedRows up_input_, gate_input_, down_input_;
  int64_t active_ = 0, rows_ = 0;  // buckets and sorted rows that were taken in
};

}  // namespace

void run(const op::Group& i, Machine& m) {
  const int64_t rows = m.count(i.ids), top_k = m.width(i.ids), prompt = m.prompt_count(i.ids);
  const int32_t* ids = m.data<int32_t>(i.ids);
  int32_t *order = m.data<int32_t>(i.order), *offsets = m.data<int32_t>(i.offsets);
  const auto bucket = [&](int64_t a) { return ids[a] + (a / top_k >= prompt ? i.experts : 0); };
  std::fill_n(offsets, 2 * i.experts + 1, 0);
  for (int64_t a = 0; a < rows * top_k; ++a) ++offsets[bucket(a) + 1];
  int32_t before = 0;
  for (int32_t b = 0; b < 2 * i.experts; ++b) before += std::exchange(offsets[b + 1], before);
  for (int64_t a = 0; a < rows * top_k; ++a) order[offsets[bucket(a) + 1]++] = static_cast<int32_t>(a);
}

void run(const op::Experts& i, Machine& m) {
  if (m.count(i.x) > 0) ExpertStep(i, m).run();
}

void run(const op::Combine& i, Machine& m) {
  const int64_t top_k = m.width(i.weights), width = m.width(i.out);
  m.by_rows(m.count(i.out), top_k * width, [&](int64_t row) {
    float* out = m.row(i.out, row);
    std::fill_n(out, width, 0.0f);
    for (int64_t j = 0; j < top_k; ++j) {
      const float weight = i.plain ? 1 : m.row(i.weights, row)[j];
      m.vectors.add(out, m.row(i.e, row * top_k + j), weight, width, out);
    }
  });
}

}  // namespace ostinato::cpu
