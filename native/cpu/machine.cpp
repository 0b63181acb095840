#include "cpu/machine.h"

#include <utility>

namespace ostinato::cpu {

Result::Result(const Limits& limits)
    : slots(limits.max_logit_rows),
      tokens(limits.max_logit_rows),
      top_ids(static_cast<size_t>(limits.max_logit_rows) * kMaxTopLogprobs),
      logprobs(limits.max_logit_rows),
      top_logprobs(static_cast<size_t>(limits.max_logit_rows) * kMaxTopLogprobs) {}

Machine::Machine(Model&& given, const Kernels& kernels, const Vectors& vectors, int threads)
    : model(std::move(given)),
      kernels(kernels),
      vectors(vectors),
      pool(threads),
      state(model.limits, static_cast<int32_t>(model.caches.size())),
      rows(model.limits),
      scratch(model, kernels, threads),
      arena(std::max(model.prefill.arena_bytes, model.decode.arena_bytes)) {}

int64_t Machine::count(int32_t value) const {
  const Value& v = program->values[value];
  return v.factor * (v.axis == Axis::kT ? rows.count : v.axis == Axis::kR ? rows.logit_count : 1);
}

int64_t Machine::prompt_count(int32_t value) const {
  const Value& v = program->values[value];
  return v.factor * (v.axis == Axis::kT ? rows.prompt : v.axis == Axis::kR ? rows.logit_prompt : 0);
}

void Machine::start() {
  for (PackedValue& packed : scratch.packed) packed.value = -1;
  result->draws = 0;
}

void Machine::finish(bool want_logits) {
  result->logit_rows = want_logits ? rows.logit_count : 0;
  if (!want_logits) return;
  const float* logits = data(program->logits);
  result->logits.assign(logits, logits + static_cast<int64_t>(rows.logit_count) * model.limits.vocab);
}

}  // namespace ostinato::cpu
