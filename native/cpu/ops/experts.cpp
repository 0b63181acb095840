// group, experts, combine: mixtures of experts, computed expert by expert.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "cpu/machine.h"
#include "cpu/packed.h"

namespace ostinato::cpu {
namespace {

// Rows (at least) that go through an expert's three weights before the next ones begin: what one product
// makes is still in a cache when the next wants it.
constexpr int64_t kGroupRows = 1024;

constexpr double kLongAgo = 64 * kUseHalfLife;  // tokens: what is older counts as little, but not nothing

// What adds up these experts: it comes after them, in the same layer.
const op::Combine& combine_of(const op::Experts& i, const Program& program) {
  const int32_t* const end = program.instructions.data() + program.instructions.size();
  for (const int32_t* words = &i.opcode; words < end; words += op::kWords[*words]) {
    const auto& next = *reinterpret_cast<const op::Combine*>(words);
    if (*words == static_cast<int32_t>(op::Combine::kOpcode) && next.e == i.out) return next;
  }
  throw std::logic_error("nothing adds up the experts");
}

// The matrices of a layer's experts, and rows packed for them; without a gate, `gate` is `up`. Rows of kind
// prompt are the first `prompt` of the sorted ones.
struct Matrices {
  Matrices(const Kernels& kernels, Weight& up, Weight& gate, Weight& down, int64_t prompt,
           const ExpertInputs& inputs)
      : up(up),
        gate(gate),
        down(down),
        one_form(forms(kernels, gate.type) == forms(kernels, up.type)),
        up_input(kernels, up, prompt, inputs.up.data()),
        gate_input(kernels, gate, prompt, one_form ? inputs.up.data() : inputs.gate.data()),
        down_input(kernels, down, prompt, inputs.down.data()) {}

  // Whether the parcel has one of these experts.
  bool has(int32_t parcel) const { return parcel >= up.parcel && parcel < up.parcel + up.experts; }

  Weight &up, &gate, &down;
  const bool one_form;  // rows packed for `up` are good for `gate`
  const PackedRows up_input, gate_input, down_input;
};

// One `experts` in progress. "Sorted" rows are assignments in the order of (kind, expert).
class ExpertStep {
 public:
  ExpertStep(const op::Experts& i, Machine& m)
      : i_(i),
        m_(m),
        up_(m.weight(i.up)),
        assignments_(m.count(i.order)),
        top_k_(assignments_ / m.count(i.x)),
        order_(m.data<int32_t>(i.order)),
        offsets_(m.data<int32_t>(i.offsets)),
        exact_(m.kernels, up_, m.weight(gated() ? i.gate : i.up), m.weight(i.down), offsets_[up_.experts],
               m.scratch.experts.exact) {
    if (up_.copy < 0) return;
    copy_.emplace(m.kernels, copy_of(i.up), copy_of(gated() ? i.gate : i.up), copy_of(i.down),
                  offsets_[up_.experts], m.scratch.experts.copy);
  }

  void run() {
    m_.by_rows(assignments_, 2 * up_.k, [&](int64_t sorted) { pack_input(exact_, sorted); });
    if (up_.streamed()) return stream();
    m_.hint_foreseen();
    for (int32_t expert = 0; expert < up_.experts; ++expert) {
      take_in(expert);
      if (rows_ >= kGroupRows) compute(exact_);
    }
    if (active_ > 0) compute(exact_);
  }

 private:
  bool gated() const { return i_.gate >= 0; }
  int64_t hidden() const { return exact_.down.k; }
  Weight& copy_of(int32_t weight) const { return m_.program->copies[m_.weight(weight).copy]; }

  int64_t rows_of(int32_t expert) const {
    int64_t rows = 0;
    by_buckets(expert, [&](int32_t bucket) { rows += offsets_[bucket + 1] - offsets_[bucket]; });
    return rows;
  }

  // Calls body(expert) for the experts that have rows.
  template <class Body>
  void by_wanted(Body body) const {
    for (int32_t expert = 0; expert < up_.experts; ++expert) {
      if (rows_of(expert) > 0) body(expert);
    }
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
  void compute(const Matrices& w) {
    by_outputs(hidden(), [&](const Part& part) { enter(w, part); });
    m_.by_rows(rows_, 2 * hidden(), [&](int64_t row) { pack_hidden(w, m_.scratch.experts.rows[row]); });
    by_outputs(m_.width(i_.out), [&](const Part& part) { leave(w, part); });
    active_ = rows_ = 0;
  }

  // Computes the experts of a store as they arrive: those that are there first, while others are read.
  void stream() {
    memory::Request& request = *m_.request;
    want(request);
    m_.hint_foreseen();  // behind what is missing now
    for (auto some = request.take(); !some.empty(); some = request.take()) {
      for (const memory::Arrival& arrival : some) receive(exact_, arrival);
      if (active_ > 0) compute(exact_);
      if (copy_.has_value()) compute_copies(*copy_, some);
      for (const memory::Arrival& arrival : some) {
        if (arrival.error.empty()) request.release(arrival.parcel);
      }
    }
  }

  // A row of a prompt counts the less the more tokens follow it in the step. Before the first of them, what
  // was before the step becomes as old as its sequences are long, on average: whether it is wanted now or
  // not.
  void want(memory::Request& request) {
    std::vector<int32_t>& parcels = m_.scratch.experts.parcels;
    parcels.clear();
    if (copy_.has_value()) {
      choose(parcels);
    } else {
      by_wanted([&](int32_t expert) { parcels.push_back(up_.parcel + expert); });
    }
    std::vector<double>& wanting = m_.scratch.experts.wanting;
    wanting.clear();
    for (const int32_t parcel : parcels) {
      const bool coarse = copy_.has_value() && copy_->has(parcel);
      wanting.push_back(recent_rows(parcel - (coarse ? copy_->up.parcel : up_.parcel)));
    }
    request.want(parcels, wanting, std::exchange(m_.passed, 0.0));
  }

  double recent_rows(int32_t expert) const {
    double rows = 0;
    by_buckets(expert, [&](int32_t bucket) {
      for (int32_t sorted = offsets_[bucket]; sorted < offsets_[bucket + 1]; ++sorted) {
        const auto token = static_cast<int32_t>(m_.token_of(i_.x, order_[sorted] / top_k_));
        const int32_t behind = m_.rows.last_position(token) - m_.rows.position[token];
        rows += std::exp2(-std::min<double>(behind, kLongAgo) / kUseHalfLife);
      }
    });
    return rows;
  }

  // Experts of generated rows, or their copies: those of most weight are read first. Rows of prompts have the
  // file's own experts: what they leave in the cache of keys and values others find there.
  void choose(std::vector<int32_t>& parcels) {
    const float* weights = m_.data(combine_of(i_, *m_.program).weights);
    std::vector<memory::Wanted>& wanted = m_.scratch.experts.wanted;
    wanted.clear();
    by_wanted([&](int32_t expert) {
      if (offsets_[expert] < offsets_[expert + 1]) return parcels.push_back(up_.parcel + expert);
      wanted.push_back({up_.parcel + expert, copy_->up.parcel + expert, share_of(expert, weights)});
    });
    std::stable_sort(wanted.begin(), wanted.end(),
                     [](const auto& a, const auto& b) { return a.share > b.share; });
    m_.store->decide(m_.model.misses, wanted);
    for (const memory::Wanted& expert : wanted)
      parcels.push_back(expert.coarse ? expert.copy : expert.parcel);
  }

  // The largest part that the expert has of a generated row's router weights, [rows, top_k].
  float share_of(int32_t expert, const float* weights) const {
    float most = 0;
    for (int32_t sorted = offsets_[up_.experts + expert]; sorted < offsets_[up_.experts + expert + 1];
         ++sorted) {
      const int64_t first = order_[sorted] / top_k_ * top_k_;
      const float all = std::accumulate(weights + first, weights + first + top_k_, 0.0f);
      most = std::max(most, weights[order_[sorted]] / all);
    }
    return most;
  }

  void receive(const Matrices& w, const memory::Arrival& arrival) {
    if (!w.has(arrival.parcel)) return;
    const int32_t expert = arrival.parcel - w.up.parcel;
    if (!arrival.error.empty()) return fail(expert, arrival.error);
    for (Weight* weight : {&w.up, &w.gate, &w.down}) {
      m_.place(weight->pieces[expert], arrival.parcel, weight->extent);
    }
    take_in(expert);
  }

  // A copy that cannot be read gives way to the expert itself.
  void compute_copies(const Matrices& copy, std::span<const memory::Arrival> some) {
    for (const memory::Arrival& arrival : some) {
      if (copy.has(arrival.parcel) && !arrival.error.empty()) {
        m_.request->want(std::array{up_.parcel + arrival.parcel - copy.up.parcel});
      } else {
        receive(copy, arrival);
      }
    }
    if (active_ == 0) return;
    m_.by_rows(rows_, 2 * up_.k, [&](int64_t row) { pack_input(copy, m_.scratch.experts.rows[row]); });
    compute(copy);
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

  void pack_input(const Matrices& w, int64_t sorted) {
    ExpertScratch& s = m_.scratch.experts;
    const float* x = m_.row(i_.x, order_[sorted] / top_k_);
    if (i_.scales >= 0) {
      float* scaled = s.scaled.data() + sorted * up_.k;
      m_.vectors.scale(x, m_.data(i_.scales)[order_[sorted]], 0, up_.k, scaled);
      x = scaled;
    }
    w.up_input.pack(sorted, x);
    if (!w.one_form) w.gate_input.pack(sorted, x);
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
  void enter(const Matrices& w, const Part& p) {
    const auto act = static_cast<Activation>(i_.act);
    float* up = m_.scratch.experts.up.data() + p.begin * hidden() + p.first;
    multiply(w.up_input, i_.up_bias, hidden(), p, up, hidden());
    if (gated()) multiply(w.gate_input, i_.gate_bias, hidden(), p, p.tile, kExpertOutputs);
    for (int64_t row = 0; row < p.rows(); ++row, up += hidden()) {
      if (gated()) {
        const float* gate = p.tile + row * kExpertOutputs;
        m_.vectors.glu({act, i_.limit, i_.shift}, gate, p.count, up, p.count, up);
      } else {
        m_.vectors.activate(act, up, p.count, up);
      }
    }
  }

  void pack_hidden(const Matrices& w, int64_t sorted) {
    w.down_input.pack(sorted, m_.scratch.experts.up.data() + sorted * hidden());
  }

  // Outputs of down, each row put at its assignment.
  void leave(const Matrices& w, const Part& p) {
    multiply(w.down_input, i_.down_bias, m_.width(i_.out), p, p.tile, kExpertOutputs);
    for (int64_t row = 0; row < p.rows(); ++row) {
      std::copy_n(p.tile + row * kExpertOutputs, p.count, m_.row(i_.out, order_[p.begin + row]) + p.first);
    }
  }

  const op::Experts& i_;
  Machine& m_;
  Weight& up_;
  const int64_t assignments_, top_k_;
  const int32_t* order_;
  const int32_t* offsets_;
  const Matrices exact_;
  std::optional<Matrices> copy_;   // in fewer bits
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
