#include "cpu/machine.h"

#include <utility>

namespace ostinato::cpu {

namespace {

// Draws of a step, and of a run: every span has at most one, and a logit row for it.
size_t step_draws(const Limits& limits) { return std::min(limits.max_logit_rows, limits.max_sequences); }
size_t run_draws(const Limits& limits) { return limits.max_steps * step_draws(limits); }

}  // namespace

Result::Result(const Limits& limits)
    : slots(step_draws(limits)),
      tokens(run_draws(limits)),
      top_ids(run_draws(limits) * kMaxTopLogprobs),
      logprobs(run_draws(limits)),
      top_logprobs(run_draws(limits) * kMaxTopLogprobs),
      faults(limits.max_sequences) {}

Machine::Machine(Model&& given, const Kernels& kernels, const Vectors& vectors, int threads,
                 memory::Store* store)
    : model(std::move(given)),
      kernels(kernels),
      vectors(vectors),
      pool(threads),
      state(model.limits, static_cast<int32_t>(model.caches.size())),
      rows(model.limits),
      scratch(model, kernels, threads),
      arena(std::max(model.prefill.arena_bytes, model.decode.arena_bytes)),
      store(store),
      request(store == nullptr ? nullptr : std::make_unique<memory::Request>(*store)),
      followers(Followers::of(model.decode)) {
  for (const StateGroup& group : model.states) {
    recurrent.emplace_back(model.limits.max_sequences * group.layers * group.elements);
  }
}

int64_t Machine::count(int32_t value) const {
  const Value& v = program->values[value];
  return v.factor * (v.axis == Axis::kT ? rows.count : v.axis == Axis::kR ? rows.logit_count : 1);
}

int64_t Machine::prompt_count(int32_t value) const {
  const Value& v = program->values[value];
  return v.factor * (v.axis == Axis::kT ? rows.prompt : v.axis == Axis::kR ? rows.logit_prompt : 0);
}

void Machine::hint_foreseen() {
  if (!foreseen.empty()) store->hint(foreseen);
  foreseen.clear();
}

int64_t Machine::token_of(int32_t value, int64_t row) const {
  const Value& v = program->values[value];
  const int64_t index = row / v.factor;
  return v.axis == Axis::kR ? rows.logit[index] : index;
}

void Machine::fail_row(int32_t value, int64_t row, const std::string& reason) {
  fail_token(token_of(value, row), reason);
}

void Machine::abandon(const std::string& reason) {
  for (int64_t token = 0; token < rows.count; ++token) fail_token(token, reason);
  abandoned = true;
  if (request != nullptr) request->clear();
}

void Machine::fail_token(int64_t token, const std::string& reason) {
  Slot& slot = state.slot(rows.slot[token]);
  if (slot.failed) return;
  slot.failed = true;
  const int32_t number = result->faulted.load(std::memory_order_relaxed);
  result->faults[number] = {rows.slot[token], step, reason};
  result->faulted.store(number + 1, std::memory_order_release);
}

void Machine::start() {
  abandoned = false;
  foreseen.clear();
  passed = static_cast<double>(rows.count - rows.spans) / std::max(1, rows.spans) / kUseHalfLife;
  for (PackedValue& packed : scratch.packed) packed.value = -1;
}

void Machine::keep_outputs() {
  result->outputs.resize(program->outputs.size());
  for (size_t index = 0; index < program->outputs.size(); ++index) {
    const int32_t value = program->outputs[index];
    Result::Output& output = result->outputs[index];
    if (value < 0) continue;
    output.rows = count(value), output.width = width(value);
    output.data.assign(data(value), data(value) + output.rows * output.width);
  }
}

}  // namespace ostinato::cpu
