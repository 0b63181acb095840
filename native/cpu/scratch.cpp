#include "cpu/scratch.h"

#include <algorithm>

#include "cpu/state.h"

namespace ostinato::cpu {
namespace {

struct ExpertBytes {
  size_t gate = 0, up = 0, down = 0;
};

// The largest sizes any instruction of any program asks for.
struct Needs {
  size_t packed = 0;                   // bytes of a packed value
  int64_t key_dim = 0, value_dim = 0;  // attend
  size_t attend = 0;                   // attend: floats to work in
  size_t router = 0;                   // route: rows x experts
  int64_t gates = 0;                   // gated: rows x outputs of a task
  size_t heads = 0;                    // per_head: bytes of packed heads
  ExpertBytes exact, copy;             // experts: of packed rows
  int64_t scaled = 0;                  // experts: assignments x width
  int64_t hidden = 0, buckets = 0;     // experts: assignments x hidden, 2 x experts
  int64_t experts = 0;                 // experts: with copies
  int64_t assignments = 0;             // experts
  int64_t taps = 0, kept = 0;          // conv, delta
};

class Survey {
 public:
  Survey(const Model& model, const Kernels& kernels)
      : limits_(model.limits), caches_(model.caches), kernels_(kernels) {
    visit(model.prefill);
    visit(model.decode);
  }
  Needs needs;

 private:
  void visit(const Program& program) {
    for (size_t at = 0; at < program.instructions.size(); at += op::kWords[program.instructions[at]]) {
      const int32_t* words = &program.instructions[at];
      switch (static_cast<op::Opcode>(*words)) {
        case op::Opcode::kLinear: {
          const auto& i = *reinterpret_cast<const op::Linear*>(words);
          pack(program, i.x, i.weight);
          break;
        }
        case op::Opcode::kGated: {
          const auto& i = *reinterpret_cast<const op::Gated*>(words);
          pack(program, i.x, i.gate);
          pack(program, i.x, i.up);
          needs.gates = std::max(needs.gates, rows(program, i.x) * kTileOutputs);
          break;
        }
        case op::Opcode::kRoute: {
          const auto& i = *reinterpret_cast<const op::Route*>(words);
          pack(program, i.x, i.router);
          needs.router = std::max<size_t>(needs.router, rows(program, i.x) * program.weights[i.router].rows);
          break;
        }
        case op::Opcode::kPerHead: {
          const auto& i = *reinterpret_cast<const op::PerHead*>(words);
          const Weight& weight = program.weights[i.weight];
          needs.heads =
              std::max(needs.heads, packed_size(kernels_, weight, rows(program, i.x) * weight.experts));
          break;
        }
        case op::Opcode::kConv: {
          const auto& i = *reinterpret_cast<const op::Conv*>(words);
          needs.taps = std::max(needs.taps, program.weights[i.kernel].k);
          break;
        }
        case op::Opcode::kDelta:
          needs.kept = std::max<int64_t>(needs.kept, reinterpret_cast<const op::Delta*>(words)->key_dim);
          break;
        case op::Opcode::kAttend:
          attend(*reinterpret_cast<const op::Attend*>(words));
          break;
        case op::Opcode::kExperts:
          experts(program, *reinterpret_cast<const op::Experts*>(words));
          break;
        default:
          break;
      }
    }
  }

  int64_t rows(const Program& program, int32_t value) const {
    const Value& v = program.values[value];
    return v.factor * (v.axis == Axis::kT   ? limits_.max_rows
                       : v.axis == Axis::kR ? limits_.max_logit_rows
                                            : 1);
  }

  void pack(const Program& program, int32_t value, int32_t weight) {
    needs.packed =
        std::max(needs.packed, packed_size(kernels_, program.weights[weight], rows(program, value)));
  }

  void attend(const op::Attend& i) {
    const bool scattered = caches_[i.cache].value_dim == 0 || limits_.block_size % 16 != 0;
    needs.attend = std::max(needs.attend, attend_scratch(i.key_dim, i.value_dim, scattered));
    needs.key_dim = std::max<int64_t>(needs.key_dim, i.key_dim);
    needs.value_dim = std::max<int64_t>(needs.value_dim, i.value_dim);
  }

  void experts(const Program& program, const op::Experts& i) {
    const int64_t assignments = rows(program, i.order);
    const auto larger = [&](size_t ExpertBytes::* need, int32_t index) {
      const Weight& weight = program.weights[index];
      needs.exact.*need = std::max(needs.exact.*need, packed_size(kernels_, weight, assignments));
      if (weight.copy < 0) return;
      const Weight& copy = program.copies[weight.copy];
      needs.copy.*need = std::max(needs.copy.*need, packed_size(kernels_, copy, assignments));
    };
    if (i.gate >= 0) larger(&ExpertBytes::gate, i.gate);
    larger(&ExpertBytes::up, i.up);
    larger(&ExpertBytes::down, i.down);
    if (program.weights[i.up].copy >= 0)
      needs.experts = std::max(needs.experts, program.weights[i.up].experts);
    needs.assignments = std::max(needs.assignments, assignments);
    needs.hidden = std::max(needs.hidden, assignments * program.weights[i.down].k);
    needs.buckets = std::max(needs.buckets, 2 * program.weights[i.up].experts);
    if (i.scales >= 0) needs.scaled = std::max(needs.scaled, assignments * program.weights[i.up].k);
  }

  const Limits& limits_;
  const std::vector<Cache>& caches_;
  const Kernels& kernels_;
};

AttendScratch attend_scratch_of(const Needs& needs) {
  AttendScratch s;
  s.work = Buffer<float>(needs.attend);
  s.query = Buffer<float>(kTaskQueries * needs.key_dim);
  s.first = Buffer<int32_t>(kTaskQueries);
  s.limit = Buffer<int32_t>(kTaskQueries);
  for (int which = 0; which < 2; ++which) {
    s.max[which] = Buffer<float>(kTaskQueries);
    s.sum[which] = Buffer<float>(kTaskQueries);
    s.value[which] = Buffer<float>(kTaskQueries * padded(needs.value_dim));
  }
  return s;
}

// For the longest context and as many tasks as may be divided, unless that is too much.
SplitScratch split_scratch_of(const Needs& needs, int32_t context, int threads) {
  const int64_t width = std::max<int64_t>(padded(needs.value_dim), 1);
  const int64_t wanted = kFewTasks * threads * (split_of(context) + 1) * kTaskQueries;
  const int64_t partials = needs.value_dim == 0 ? 0 : std::min(wanted, kMostSplitFloats / width);
  return {Buffer<float>(partials), Buffer<float>(partials), Buffer<float>(partials * width)};
}

ExpertInputs inputs_of(const ExpertBytes& bytes) {
  return {Buffer<uint8_t>(bytes.gate), Buffer<uint8_t>(bytes.up), Buffer<uint8_t>(bytes.down)};
}

RecurrentScratch recurrent_scratch_of(const Needs& needs) {
  return {Buffer<const float*>(needs.taps), Buffer<float>(needs.kept)};
}

SampleScratch sample_scratch_of(int32_t vocab) {
  SampleScratch s;
  s.scores = Buffer<float>(vocab);
  s.kept = Buffer<float>(vocab);
  s.ids = Buffer<int32_t>(vocab);
  s.counts = Buffer<int32_t>(vocab);
  s.keys = Buffer<uint64_t>(vocab);
  return s;
}

}  // namespace

Scratch::Scratch(const Model& model, const Kernels& kernels, int threads) {
  const Needs needs = Survey(model, kernels).needs;
  for (PackedValue& p : packed) p.bytes = Buffer<uint8_t>(needs.packed);
  for (int thread = 0; thread < threads; ++thread) {
    attend.push_back(attend_scratch_of(needs));
    recurrent.push_back(recurrent_scratch_of(needs));
    sample.push_back(sample_scratch_of(model.limits.vocab));
  }
  splits = split_scratch_of(needs, model.limits.context, threads);
  tiles = Buffer<RowTile>(model.limits.max_rows);
  gates = Buffer<float>(threads * needs.gates);
  heads = Buffer<uint8_t>(needs.heads);
  router = Buffer<float>(needs.router);
  wanted = Buffer<float>(needs.router);
  totals = Buffer<float>(needs.router);
  experts.exact = inputs_of(needs.exact);
  experts.copy = inputs_of(needs.copy);
  experts.wanted.reserve(needs.experts);
  experts.up = Buffer<float>(needs.hidden);
  experts.scaled = Buffer<float>(needs.scaled);
  experts.active = Buffer<int32_t>(needs.buckets);
  experts.rows = Buffer<int32_t>(needs.assignments);
  experts.parcels.reserve(needs.buckets / 2);
  experts.wanting.reserve(needs.buckets / 2);
  experts.counts.reserve(needs.buckets / 2);
  experts.tile = Buffer<float>(threads * kExpertRows * kExpertOutputs);
}

int64_t Scratch::bytes() const {
  int64_t sum = 0;
  const auto add = [&](const auto&... buffers) {
    sum += (static_cast<int64_t>(buffers.size() * sizeof(*buffers.data())) + ...);
  };
  for (const PackedValue& p : packed) add(p.bytes);
  for (const AttendScratch& s : attend) {
    add(s.work, s.query, s.first, s.limit);
    for (int which = 0; which < 2; ++which) add(s.max[which], s.sum[which], s.value[which]);
  }
  for (const RecurrentScratch& s : recurrent) add(s.window, s.kept);
  for (const SampleScratch& s : sample) add(s.scores, s.kept, s.ids, s.counts, s.keys);
  add(splits.max, splits.sum, splits.value, tiles, gates, heads, router, wanted, totals);
  for (const ExpertInputs* inputs : {&experts.exact, &experts.copy})
    add(inputs->gate, inputs->up, inputs->down);
  add(experts.up, experts.scaled, experts.active, experts.rows, experts.tile);
  return sum;
}

}  // namespace ostinato::cpu
