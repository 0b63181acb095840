#include "cpu/executor.h"

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
    dispatch_table<op::Embed, op::Angles, op::RmsNorm, op::Linear, op::Rope, op::Append, op::Attend, op::Glu,
                   op::Add, op::Select, op::Route, op::Group, op::Experts, op::Combine, op::Sample>();

void execute(const Program& program, Machine& m) {
  const std::vector<int32_t>& words = program.instructions;
  for (size_t at = 0; at < words.size(); at += op::kWords[words[at]]) kDispatch[words[at]](&words[at], m);
}

}  // namespace

bool has_op(int32_t opcode) { return opcode >= 0 && opcode < op::kOps && kDispatch[opcode] != nullptr; }

Executor::Executor(Model&& model, const Kernels& kernels, const Vectors& vectors, int threads)
    : machine_(std::move(model), kernels, vectors, threads),
      admission_(machine_.model.limits, static_cast<int32_t>(machine_.model.caches.size())),
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
  Job& job = jobs_[number % kMaxInFlight];
  std::string error = job.packet.parse(words);
  if (error.empty()) error = admission_.admit(job.packet);
  if (!error.empty()) return error;
  submitted_.store(number + 1);
  submitted_.notify_one();
  return "";
}

const Result& Executor::collect() {
  for (uint32_t done = finished_.load(); done == released_; done = finished_.load()) finished_.wait(done);
  return jobs_[released_ % kMaxInFlight].result;
}

void Executor::release() { ++released_; }

void Executor::coordinate() {
  for (uint32_t next = 0;; ++next) {
    for (uint32_t seen = submitted_.load(); seen == next; seen = submitted_.load()) submitted_.wait(seen);
    if (stop_.load() && submitted_.load() == next + 1) return;
    step(jobs_[next % kMaxInFlight]);
    finished_.store(next + 1);
    finished_.notify_one();
  }
}

// One step, from the packet to the result.
void Executor::step(Job& job) {
  Machine& m = machine_;
  m.result = &job.result;
  m.state.apply(job.packet, m.rows);
  m.program = m.rows.prompt > 0 ? &m.model.prefill : &m.model.decode;
  m.start();
  execute(*m.program, m);
  m.state.finish(job.packet);
  m.finish(job.packet.header().want_logits != 0);
}

}  // namespace ostinato::cpu
