// group, experts, combine: mixtures of experts, computed expert by expert.
#include <algorithm>
#include <string>
#include <utility>

#include "cpu/machine.h"
#include "cpu/packed.h"

namespace ostinato::cpu {
namespace {

// Rows (at least) that go through an expert's three weights before the next ones begin: what one product
// makes is still in a cache when the next wants it.
constexpr int64_t kGroupRows = 1024;

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
    for (int32_t expert = 0; expert < up_.experts; ++expert) {
      take_in(expert);
      if (rows_ >= kGroupRows) compute();
    }
    if (active_ > 0) compute();
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
    by_outputs(hidden(), [&](const Part& part) { enter(part); });
    m_.by_rows(rows_, 2 * hidden(), [&](int64_t row) { pack_hidden(m_.scratch.experts.rows[row]); });
    by_outputs(m_.width(i_.out), [&](const Part& part) { leave(part); });
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

  // Outputs [first, first + count) of sorted rows [begin, end), all of one bucket.
  struct Part {
    int64_t expert, first, count, begin, end;
    float* tile;  // [kExpertRows, kExpertOutputs], the thread's own

    int64_t rows() const { return end - begin; }
  };

  // Calls body(part) for `outputs` outputs of all rows of the experts that were taken in.
  template <class Body>
  void by_outputs(int64_t outputs, Body body) {
    const ExpertScratch& s = m_.scratch.experts;
    const int64_t parts = (outputs + kExpertOutputs - 1) / kExpertOutputs;
    m_.share(active_ * parts, rows_ * hidden() * up_.k, [&](int64_t task, int thread) {
      const int32_t bucket = s.active[task / parts], end = offsets_[bucket + 1];
      const int64_t first = task % parts * kExpertOutputs, count = std::min(kExpertOutputs, outputs - first);
      for (int64_t at = offsets_[bucket]; at < end; at += kExpertRows) {
        body(Part{bucket % up_.experts, first, count, at, std::min<int64_t>(at + kExpertRows, end),
                  s.tile.data() + thread * kExpertRows * kExpertOutputs});
      }
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

  // Multiplies a part by the rows of its expert in a weight with `width` outputs each, and adds the bias, if
  // there is one (else -1); rows of `out` are `stride` apart.
  void multiply(const PackedRows& input, int32_t bias, int64_t width, const Part& p, float* out,
                int64_t stride) {
    const int64_t row = p.expert * width + p.first;
    input.multiply(row, p.count, p.begin, p.end, out, stride);
    if (bias < 0) return;
    for (int64_t i = 0; i < p.rows(); ++i, out += stride)
      m_.vectors.add(out, m_.vector(bias) + row, 1, p.count, out);
  }

  // What goes into `down`: up, and gate, with their activation.
  void enter(const Part& p) {
    const auto act = static_cast<Activation>(i_.act);
    float* up = m_.scratch.experts.up.data() + p.begin * hidden() + p.first;
    multiply(up_input_, i_.up_bias, hidden(), p, up, hidden());
    if (gated()) multiply(gate_input_, i_.gate_bias, hidden(), p, p.tile, kExpertOutputs);
    for (int64_t row = 0; row < p.rows(); ++row, up += hidden()) {
      if (gated()) {
        const float* gate = p.tile + row * kExpertOutputs;
        m_.vectors.glu({act, i_.limit, i_.shift}, gate, p.count, up, p.count, up);
      } else {
        m_.vectors.activate(act, up, p.count, up);
      }
    }
  }

  void pack_hidden(int64_t sorted) {
    down_input_.pack(sorted, m_.scratch.experts.up.data() + sorted * hidden());
  }

  // Outputs of down, each row put at its assignment.
  void leave(const Part& p) {
    multiply(down_input_, i_.down_bias, m_.width(i_.out), p, p.tile, kExpertOutputs);
    for (int64_t row = 0; row < p.rows(); ++row) {
      std::copy_n(p.tile + row * kExpertOutputs, p.count, m_.row(i_.out, order_[p.begin + row]) + p.first);
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
