#include "cpu/executor.h"

#include <exception>
#include <utility>

namespace ostinato::cpu {
namespace {

using Run = void(const int32_t* words, Machine& m);

template <class Op>
void run_as(const int32_t* words, Machine& m) {
  run(*reinterpret_cast<const Op*>(words), m);
}

// By opcode; nullptr for an op that this backend lacks.
template <class... Ops>
constexpr std::array<Run*, op::kOps> dispatch_table() {
  std::array<Run*, op::kOps> table{};
  ((table[static_cast<size_t>(Ops::kOpcode)] = run_as<Ops>), ...);
  return table;
}

constexpr auto kDispatch =
    dispatch_table<op::Embed, op::Angles, op::RmsNorm, op::LayerNorm, op::Linear, op::Gated, op::PerHead,
                   op::Rope, op::Temper, op::Append, op::Attend, op::Glu, op::Activate, op::Scale, op::Add,
                   op::Part, op::Join, op::Select, op::Pool, op::Route, op::Group, op::Experts, op::Combine,
                   op::Conv, op::Delta, op::Scan, op::Foresee, op::Fetch, op::Drop, op::Sample>();

// Of an abandoned step only what draws is run: its sequences get that instead of tokens. What fails for the
// coordinator itself (a store that was closed, no memory for what is wanted of it) fails the step's
// sequences, not the process.
void run_one(const int32_t* words, Machine& m) {
  if (m.abandoned && words[0] != static_cast<int32_t>(op::Sample::kOpcode)) return;
  try {
    kDispatch[words[0]](words, m);
  } catch (const std::exception& error) {
    m.abandon(error.what());
  }
}

void execute(const Program& program, Machine& m) {
  const std::vector<int32_t>& words = program.instructions;
  for (size_t at = 0; at < words.size(); at += op::kWords[words[at]]) {
    run_one(&words[at], m);
  }
}

int64_t count_instructions(const Program& program) {
  int64_t count = 0;
  const std::vector<int32_t>& words = program.instructions;
  for (size_t at = 0; at < words.size(); at += op::kWords[words[at]]) ++count;
  return count;
}

// The same with a look at the clock after every instruction.
void execute(const Program& program, Machine& m, Profile& profile) {
  const std::vector<int32_t>& words = program.instructions;
  Stopwatch watch;
  auto nanoseconds = profile.nanoseconds.begin();
  for (size_t at = 0; at < words.size(); at += op::kWords[words[at]]) {
    run_one(&words[at], m);
    *nanoseconds++ += watch.lap();
  }
}

}  // namespace

bool has_op(int32_t opcode) { return opcode >= 0 && opcode < op::kOps && kDispatch[opcode] != nullptr; }

Executor::Executor(Model&& model, const Kernels& kernels, const Vectors& vectors, int threads,
                   memory::Store* store)
    : machine_(std::move(model), kernels, vectors, threads, store),
      admission_(machine_.model.limits, static_cast<int32_t>(machine_.model.caches.size()),
                 !machine_.model.states.empty()),
      jobs_{Job(machine_.model.limits), Job(machine_.model.limits)},
      coordinator_([this] { coordinate(); }) {}

Executor::~Executor() {
  stop_.store(true);
  submitted_.fetch_add(1);  // wakes the coordinator; the step that it counts is never run
  submitted_.notify_one();
  coordinator_.join();
}

std::string Executor::submit(std::span<const int32_t> words) {
  const uint32_t number = submitted_.load();
  Job& job = jobs_[number % kMaxInFlight];  // released, so nobody else looks at it
  std::string error = job.packet.parse(words);
  if (error.empty()) error = admission_.admit(job.packet);
  if (!error.empty()) return error;
  job.progress.store(0);
  job.collected = 0;
  submitted_.store(number + 1);
  submitted_.notify_one();
  return "";
}

Executor::Part Executor::collect() {
  Job& job = jobs_[released_ % kMaxInFlight];
  const int32_t first = job.collected;
  uint32_t progress = job.progress.load();
  for (; progress == 2 * static_cast<uint32_t>(first); progress = job.progress.load())
    job.progress.wait(progress);
  job.collected = static_cast<int32_t>(progress / 2);
  const bool over = progress % 2 != 0;
  if (over && job.packet.header().steps > 1) settle(job, job.collected);
  return {job.result, first, job.collected - first, !over};
}

void Executor::release() { ++released_; }

// Admission learns how far the slots of a run got.
void Executor::settle(Job& job, int32_t steps) {
  const size_t spans = job.packet.spans.size();
  std::fill_n(job.rows.data(), spans, 0);
  for (size_t i = 0; i < steps * spans; ++i) job.rows[i % spans] += job.result.tokens[i] != kNothing;
  admission_.collected(job.packet, {job.rows.data(), spans});
}

void Executor::coordinate() {
  for (uint32_t next = 0;; ++next) {
    for (uint32_t seen = submitted_.load(); seen == next; seen = submitted_.load()) submitted_.wait(seen);
    if (stop_.load() && submitted_.load() == next + 1) return;
    run(jobs_[next % kMaxInFlight], next);
  }
}

// All steps of batch `number`, from the packet to the result. A run ends where another batch waits.
void Executor::run(Job& job, uint32_t number) {
  Machine& m = machine_;
  m.result = &job.result;
  m.result->draws = m.step = 0;
  m.result->faulted.store(0);
  m.result->outputs.clear();
  m.state.apply(job.packet, m.rows);
  m.program = m.rows.prompt > 0 ? &m.model.prefill : &m.model.decode;
  for (bool more = true; more;) {
    step(job);
    more = ++m.step < job.packet.header().steps && submitted_.load() == number + 1 &&
           m.state.next(job.packet, m.rows);
    job.progress.store(2 * static_cast<uint32_t>(m.step) + !more);
    job.progress.notify_one();
  }
}

void Executor::step(Job& job) {
  Machine& m = machine_;
  Profile* const profile = this->profile();
  Stopwatch watch;
  m.start();
  profile == nullptr ? execute(*m.program, m) : execute(*m.program, m, *profile);
  m.state.finish(m.rows);
  if (m.step == 0 && job.packet.header().want_logits != 0) m.keep_outputs();
  if (profile == nullptr) return;
  ++profile->steps;
  profile->rows += m.rows.count, profile->logit_rows += m.rows.logit_count;
  profile->step_nanoseconds += watch.lap();
}

void Executor::start_profile() {
  profiling_ = true;
  profiles_ = {};
  profiles_[0].nanoseconds.resize(count_instructions(machine_.model.prefill));
  profiles_[1].nanoseconds.resize(count_instructions(machine_.model.decode));
}

Profile* Executor::profile() {
  if (!profiling_) return nullptr;
  return &profiles_[machine_.program == &machine_.model.decode];
}

}  // namespace ostinato::cpu
