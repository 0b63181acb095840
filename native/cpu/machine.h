// What an instruction sees while a step runs: values,
// weights, state, threads and scratch; the ops themselves.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cpu/buffer.h"
#include "cpu/kernels.h"
#include "cpu/model.h"
#include "cpu/pool.h"
#include "cpu/scratch.h"
#include "cpu/state.h"
#include "cpu/vectors.h"
#include "memory/request.h"
#include "memory/transitions.h"
#include "ostinato/tables.h"

namespace ostinato::cpu {

// What a step made, or every step of a run; draws run over the sampled spans, in order.
struct Result {
  explicit Result(const Limits& limits);

  int32_t draws = 0;
  Buffer<int32_t> slots;                 // [draws]
  Buffer<int32_t> tokens;                // [steps, draws]: kNoNumber, and kNothing of a slot that had stopped
  Buffer<int32_t> top_ids;               // [steps, draws, kMaxTopLogprobs]: -1 beyond the number asked for
  Buffer<float> logprobs, top_logprobs;  // likewise; NaN where not asked for

  // A named output of the first step, where outputs were asked for.
  struct Output {
    int64_t rows = 0, width = 0;
    std::vector<float> data;  // [rows, width]
  };
  std::vector<Output> outputs;  // as Program::outputs

  // Why rows of a slot could not be computed in a step of the run. Steps that are done may be read while
  // others run, so there is room for every slot from the start.
  struct Fault {
    int32_t slot = 0, step = 0;
    std::string reason;
  };
  std::vector<Fault> faults;  // [max_sequences], of which the first `faulted` are there
  std::atomic<int32_t> faulted{0};
};

// Statistics for the hints that follow what experts were wanted before.
struct Followers {
  std::vector<int32_t> first;  // parcel of every stack, in the order of the statistics
  memory::Transitions transitions;
  std::vector<int64_t> next{};  // after each row that the last stack had last: slot x 2^32 + position

  // Nothing where no hint of the program wants them.
  static std::unique_ptr<Followers> of(const Program& program);
};

struct Machine {
  // With a `store`, weights that are streamed lie there, while `request` holds them; it must outlive this.
  Machine(Model&& model, const Kernels& kernels, const Vectors& vectors, int threads, memory::Store* store);

  Model model;
  const Kernels& kernels;
  const Vectors& vectors;
  Pool pool;
  StepState state;
  Rows rows;
  Scratch scratch;
  Buffer<uint8_t> arena;
  std::vector<Buffer<float>> recurrent;  // of every state group [slots, layers, elements]

  memory::Store* const store;                      // nullptr: all weights are resident
  const std::unique_ptr<memory::Request> request;  // where there is a store
  const std::unique_ptr<Followers> followers;      // where a hint wants them

  // Of the step that runs:
  Program* program = nullptr;
  Result* result = nullptr;
  int32_t step = 0;        // its number in the run
  bool abandoned = false;  // no row of it has numbers: nothing is computed any more
  double passed = 0;       // halvings since what was wanted before, until the first experts are asked for
  std::vector<int32_t> foreseen;  // parcels to be hinted once this layer's experts have been asked for

  // Before and after the instructions of a step.
  void start();
  void keep_outputs();

  // Rows of a value in this step, and how many of them are of kind prompt (they come first).
  int64_t count(int32_t value) const;
  int64_t prompt_count(int32_t value) const;
  int64_t width(int32_t value) const { return program->values[value].width; }
  // The token, in T, that the value's row is of.
  int64_t token_of(int32_t value, int64_t row) const;
  Weight& weight(int32_t index) const { return program->weights[index]; }
  // A piece of a streamed weight lies where `parcel`, which `request` holds, has its extent.
  void place(Piece& piece, int32_t parcel, int32_t extent) const {
    piece.data = store->data(parcel, extent).data();
  }

  void hint_foreseen();

  // The sequence of a value's row has no numbers in this step: others go on, its request fails.
  void fail_row(int32_t value, int64_t row, const std::string& reason);
  void abandon(const std::string& reason);  // likewise every sequence

  // The elements of a weight that is wanted as floats, or nullptr where the operand is absent.
  const float* vector(int32_t index) const { return index < 0 ? nullptr : weight(index).vector.data(); }

  template <class T = float>
  T* data(int32_t value) const {
    return reinterpret_cast<T*>(arena.data() + program->values[value].offset);
  }
  template <class T = float>
  T* row(int32_t value, int64_t index) const {
    return data<T>(value) + index * width(value);
  }

  // Calls body(task, thread) for every task: on all threads if the work (in multiply-adds or the like, of all
  // tasks together) is worth waking them, else here.
  template <class Body>
  void share(int64_t tasks, int64_t work, Body&& body) {
    if (work >= 2 * kGrain) return pool.parallel(tasks, body);
    for (int64_t task = 0; task < tasks; ++task) body(task, 0);
  }

  // Calls body(row) for every row, each of about `work`.
  template <class Body>
  void by_rows(int64_t rows, int64_t work, Body&& body) {
    const int64_t tasks = std::min(rows, rows * work / kGrain + 1);
    share(tasks, rows * work, [&](int64_t task, int) {
      for (int64_t row = rows * task / tasks; row < rows * (task + 1) / tasks; ++row) body(row);
    });
  }

  static constexpr int64_t kGrain = 1 << 14;  // a few microseconds of work

 private:
  void fail_token(int64_t token, const std::string& reason);
};

// One overload per op, in ops/. What they mean is defined by backends/reference/ops.py.
void run(const op::Embed& i, Machine& m);
void run(const op::Angles& i, Machine& m);
void run(const op::RmsNorm& i, Machine& m);
void run(const op::LayerNorm& i, Machine& m);
void run(const op::Linear& i, Machine& m);
void run(const op::Gated& i, Machine& m);
void run(const op::PerHead& i, Machine& m);
void run(const op::Rope& i, Machine& m);
void run(const op::Temper& i, Machine& m);
void run(const op::Append& i, Machine& m);
void run(const op::Attend& i, Machine& m);
void run(const op::Glu& i, Machine& m);
void run(const op::Activate& i, Machine& m);
void run(const op::Scale& i, Machine& m);
void run(const op::Add& i, Machine& m);
void run(const op::Part& i, Machine& m);
void run(const op::Join& i, Machine& m);
void run(const op::Select& i, Machine& m);
void run(const op::Pool& i, Machine& m);
void run(const op::Route& i, Machine& m);
void run(const op::Group& i, Machine& m);
void run(const op::Experts& i, Machine& m);
void run(const op::Combine& i, Machine& m);
void run(const op::Conv& i, Machine& m);
void run(const op::Delta& i, Machine& m);
void run(const op::Scan& i, Machine& m);
void run(const op::Foresee& i, Machine& m);
void run(const op::Fetch& i, Machine& m);
void run(const op::Drop& i, Machine& m);
void run(const op::Sample& i, Machine& m);

// out[rows of x, weight.rows] = residual + (x . weight^T + bias), on all threads. Absent ones are nullptr.
void linear(Machine& m, int32_t x, const Weight& weight, const float* bias, const float* residual,
            float* out);

}  // namespace ostinato::cpu
