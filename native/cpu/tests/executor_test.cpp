// The executor without Python: a one-layer model of random float weights that decodes two sequences, two
// steps in flight, or in runs. Counts allocations of the decode steps (none may happen); built with
// -fsanitize=thread by tests/backends/test_cpu_native.py, and compared between numbers of threads.
#include "cpu/executor.h"

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <new>
#include <vector>

#include "tests/expect.h"

namespace {
std::atomic<int64_t> allocations{0};
}

// Not inlined: the compiler would see malloc() and free() in place of new and delete, and warn of a mismatch.
__attribute__((noinline)) void* operator new(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(size)) return p;
  throw std::bad_alloc();
}
__attribute__((noinline)) void operator delete(void* p) noexcept { std::free(p); }
__attribute__((noinline)) void operator delete(void* p, size_t) noexcept { std::free(p); }

namespace ostinato::cpu {
namespace {

constexpr int32_t kWidth = 64, kVocab = 160, kHeads = 4, kContext = 1200, kBlock = 16, kSlots = 2;
constexpr int32_t kPrompt = 530, kSteps = 60;  // past one split of 512 positions
constexpr int32_t kRun = 13;                   // steps of a run
constexpr int32_t kTaps = 3;                   // of the convolution

// Writes the program: values by number, weights by number, instructions as the structs of tables.h.
class Writer {
 public:
  Program program;

  int32_t value(DType dtype, Axis axis, int64_t width, int64_t rows) {
    program.values.push_back({dtype, axis, 1, width, program.arena_bytes});
    program.arena_bytes += (4 * rows * width + 63) / 64 * 64;
    return static_cast<int32_t>(program.values.size()) - 1;
  }

  int32_t weight(int64_t rows, int64_t k, float scale, bool vector = false) {
    std::vector<float>& data = storage().emplace_back(rows * k);
    for (float& x : data) x = vector ? scale : scale * (static_cast<float>(next() % 2001) - 1000) / 1000;
    Weight w{
        TensorType::kF32, rows, k, 1, {{reinterpret_cast<const uint8_t*>(data.data()), 0, rows, 4 * k}}, {}};
    if (vector) w.vector = data;
    program.weights.push_back(w);
    return static_cast<int32_t>(program.weights.size()) - 1;
  }

  template <class Op>
  void add(Op op) {
    op.opcode = static_cast<int32_t>(Op::kOpcode);
    op.layer = -1;
    std::vector<int32_t>& words = program.instructions;
    words.resize(words.size() + sizeof(Op) / 4);
    std::memcpy(words.data() + words.size() - sizeof(Op) / 4, &op, sizeof(Op));
  }

 private:
  static std::deque<std::vector<float>>& storage() {
    static std::deque<std::vector<float>> all;
    return all;
  }
  uint32_t next() { return seed_ = seed_ * 1664525 + 1013904223, seed_ >> 8; }
  uint32_t seed_ = 1;
};

Model model(std::vector<uint8_t>& kv) {
  const Limits limits{kSlots * kPrompt, 8,      kSlots, kContext, 2 * kContext / kBlock,
                      kBlock,           kVocab, kVocab, kRun};
  const Cache cache{1, 2, 16, 16, KVType::kF16, nullptr, limits.blocks, kBlock * 32, kBlock * 32};
  kv.assign(cache.kv_heads * cache.blocks * (cache.key_bytes + cache.value_bytes), 0);
  Writer w;
  const auto t = [&](int64_t width) { return w.value(DType::kF32, Axis::kT, width, limits.max_rows); };
  const int32_t x = t(kWidth), h = t(kWidth), angles = t(16), q = t(kWidth), q2 = t(kWidth), k = t(32),
                v = t(32);
  const int32_t a = t(kWidth), z = t(kWidth), y = t(kWidth), small = t(kWidth), b = t(kWidth);
  const int32_t s = w.value(DType::kF32, Axis::kR, kWidth, 8),
                logits = w.value(DType::kF32, Axis::kR, kVocab, 8);
  const int32_t tokens = w.value(DType::kI32, Axis::kR, 1, 8);
  w.add(op::Embed{.out = x, .table = w.weight(kVocab, kWidth, 1.5f), .scale = 1});
  w.add(op::Angles{.out = angles, .factors = -1, .dims = 16, .base = 1e4f, .scale = 1, .gain = 1});
  w.add(op::RmsNorm{.out = h, .x = x, .gain = w.weight(1, kWidth, 1, true), .eps = 1e-5f, .groups = 1});
  w.add(op::Linear{.out = q, .x = h, .weight = w.weight(kWidth, kWidth, 0.2f), .bias = -1});
  w.add(op::Linear{.out = k, .x = h, .weight = w.weight(32, kWidth, 0.2f), .bias = -1});
  w.add(op::Linear{.out = v, .x = h, .weight = w.weight(32, kWidth, 0.2f), .bias = -1});
  w.add(op::Rope{.out = q2, .x = q, .angles = angles, .heads = kHeads, .style = 0});
  w.add(op::Append{.k = k, .v = v, .cache = 0, .index = 0});
  w.add(op::Attend{.out = a,
                   .q = q2,
                   .sinks = -1,
                   .cache = 0,
                   .index = 0,
                   .heads = kHeads,
                   .kv_heads = 2,
                   .key_dim = 16,
                   .value_dim = 16,
                   .scale = 0.25f});
  w.add(op::Add{.out = z, .a = x, .b = a, .scale = 1});
  w.add(op::Conv{.out = y, .x = z, .kernel = w.weight(kWidth, kTaps, 0.7f, true), .bias = -1, .act = 8});
  w.add(op::Scale{.out = small, .x = q, .factor = 0.3f});
  w.add(op::Delta{.out = b,
                  .q = q2,
                  .k = small,
                  .v = y,
                  .alpha = k,
                  .beta = v,
                  .decay = w.weight(1, kWidth / 2, -0.1f, true),
                  .bias = w.weight(1, kWidth / 2, 1, true),
                  .state = 1,
                  .heads = kWidth / 2,
                  .value_heads = kWidth / 2,
                  .key_dim = 2,
                  .value_dim = 2,
                  .scale = 0.1f});
  w.add(op::Select{.out = s, .x = b});
  w.add(op::Linear{.out = logits, .x = s, .weight = w.weight(kVocab, kWidth, 0.3f), .bias = -1});
  w.add(op::Sample{.tokens = tokens, .logits = logits});
  w.program.outputs = {logits};
  Model out{limits, {cache}, {{1, kWidth * (kTaps - 1)}, {1, 2 * kWidth}}, w.program, w.program};
  out.caches[0].base = kv.data();
  return out;
}

template <class Record>
void put(std::vector<int32_t>& words, const Record& record) {
  const auto* begin = reinterpret_cast<const int32_t*>(&record);
  words.insert(words.end(), begin, begin + sizeof(Record) / 4);
}

// Both sequences enter with their whole prompt.
std::vector<int32_t> first_packet() {
  std::vector<int32_t> words, pool;
  constexpr int32_t kBlocks = kContext / kBlock;
  put(words, Header{kSlots, kSlots, kSlots, 0, kSlots * (kPrompt + kBlocks), kSlots * kPrompt,
                    kSlots * kPrompt, kSlots, 0, 1});
  for (int32_t slot = 0; slot < kSlots; ++slot) {
    put(words, Span{slot, static_cast<int32_t>(Kind::kPrompt), 0, kPrompt, slot * kPrompt, 1, 1, 0});
    for (int32_t i = 0; i < kPrompt; ++i) pool.push_back((7 * i + slot) % kVocab);
  }
  for (int32_t slot = 0; slot < kSlots; ++slot) {
    Enter e{};
    e.slot = slot, e.prompt_length = kPrompt, e.temperature = slot == 0 ? 0.0f : 1.0f, e.top_p = 0.9f,
    e.top_k = 40;
    e.repetition = 1.1f, e.presence = 0.5f, e.min_p = 0.01f, e.seed_low = 5, e.logprobs = 3,
    e.limit = kContext;
    put(words, e);
  }
  for (int32_t slot = 0; slot < kSlots; ++slot) {
    put(words, Table{0, slot, 0, kBlocks, kSlots * kPrompt + slot * kBlocks});
    for (int32_t i = 0; i < kBlocks; ++i) pool.push_back(kSlots * i + slot);
  }
  words.insert(words.end(), pool.begin(), pool.end());
  return words;
}

// One generated row each, whose token lies in StepState; so many steps of it.
std::vector<int32_t> next_packet(int32_t steps = 1) {
  std::vector<int32_t> words;
  put(words, Header{kSlots, 0, 0, 0, 0, kSlots, 0, kSlots, 0, steps});
  for (int32_t slot = 0; slot < kSlots; ++slot) {
    put(words, Span{slot, static_cast<int32_t>(Kind::kGenerated), 0, 1, kFromState, 1, 1, 0});
  }
  return words;
}

std::vector<int32_t> generate(int threads) {
  std::vector<uint8_t> kv;
  const Kernels& kernels = *ostinato::cpu::kernels();
  Executor executor(model(kv), kernels, *vectors_for(kernels.isa), threads);
  const std::vector<int32_t> first = first_packet(), next = next_packet();
  std::vector<int32_t> tokens;
  tokens.reserve(kSlots * (kSteps + 1));
  const auto collect = [&] {
    const Result& result = executor.collect().result;
    expect(result.draws == kSlots, "a step without its tokens");
    tokens.insert(tokens.end(), result.tokens.data(), result.tokens.data() + kSlots);
    executor.release();
  };
  expect(executor.submit(first).empty() && executor.submit(next).empty(), "a sound packet was refused");
  int64_t before = 0;
  for (int step = 1; step < kSteps; ++step) {
    collect();
    expect(executor.submit(next).empty(), "a sound packet was refused");
    if (step == 3) before = allocations.load();  // both packet buffers have been used
  }
  collect();
  expect(allocations.load() == before, "a decode step allocated memory");
  collect();
  return tokens;
}

// The same tokens by runs, which an empty packet ends now and then.
std::vector<int32_t> generate_in_runs(int threads) {
  std::vector<uint8_t> kv;
  const Kernels& kernels = *ostinato::cpu::kernels();
  Executor executor(model(kv), kernels, *vectors_for(kernels.isa), threads);
  std::vector<int32_t> tokens, empty;
  put(empty, Header{0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
  const auto collect = [&] {
    for (bool more = true; more;) {
      const Executor::Part part = executor.collect();
      const int32_t* from = part.result.tokens.data() + part.first * part.result.draws;
      tokens.insert(tokens.end(), from, from + part.count * part.result.draws);
      more = part.more;
    }
    executor.release();
  };
  expect(executor.submit(first_packet()).empty(), "a sound packet was refused");
  collect();
  for (int run = 0; tokens.size() < kSlots * (kSteps + 1); ++run) {
    expect(executor.submit(next_packet(kRun)).empty(), "a run was refused");
    expect(!executor.submit(next_packet()).empty(), "a slot was in two steps of unknown length");
    const bool ended = run % 3 == 1;
    if (ended) expect(executor.submit(empty).empty(), "an empty packet was refused");
    collect();
    if (ended) collect();
  }
  tokens.resize(kSlots * (kSteps + 1));
  return tokens;
}

}  // namespace
}  // namespace ostinato::cpu

int main() {
  const std::vector<int32_t> alone = ostinato::cpu::generate(1);
  for (const int threads : {2, 5}) {
    if (ostinato::cpu::generate(threads) != alone) {
      std::fprintf(stderr, "executor_test: %d threads draw other tokens than one\n", threads);
      return 1;
    }
  }
  for (const int threads : {1, 3}) {
    if (ostinato::cpu::generate_in_runs(threads) != alone) {
      std::fprintf(stderr, "executor_test: runs on %d threads draw other tokens than single steps\n",
                   threads);
      return 1;
    }
  }
  std::puts("ok");
}
