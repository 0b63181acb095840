// StepState: everything that changes from step to step, by slot; the counterpart of backends/stepstate.py.
#pragma once
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "cpu/buffer.h"
#include "cpu/packet.h"

namespace ostinato::cpu {

// One sequence's place. history[p] is the token at position
// p for p < length, and at `length` once it was sampled.
struct Slot {
  int32_t length = 0;    // positions whose rows were computed
  bool stopped = false;  // draws nothing more in this run
  bool failed = false;   // rows of it could not be computed in this step
  Enter settings{};      // sampling settings and limit; its pool offsets mean nothing any more
  std::vector<std::pair<int32_t, float>> bias;
  std::array<int32_t, kMaxStops> stops{};  // settings.stops_count of them
  Buffer<int32_t> history;                 // [context + 1]
};

// A span that draws a token: the `number`-th of the packet's, from logit row `row` (of R), at `position`.
struct Draw {
  int32_t number, row, slot, position;
  const int32_t* mask;  // bits of allowed tokens, or nullptr
};

// All rows that one sequence has in the step.
struct RowSpan {
  int32_t first, count;
};

// The rows of a step. Prompt rows come first, in T as in R.
struct Rows {
  explicit Rows(const Limits& limits);

  int32_t count = 0, prompt = 0;              // T
  int32_t logit_count = 0, logit_prompt = 0;  // R
  int32_t draws = 0, spans = 0;
  int32_t samplers = 0;  // spans of the packet that draw; those whose slots have stopped draw no more
  Buffer<int32_t> slot, position, token;  // [T]
  Buffer<int32_t> span_of;                // [T] index in span
  Buffer<int32_t> logit;                  // [R] index in T
  Buffer<Draw> draw;                      // [draws]
  Buffer<RowSpan> span;                   // [spans]

  // The last position that the row's sequence has in this step.
  int32_t last_position(int32_t row) const {
    const RowSpan& s = span[span_of[row]];
    return position[s.first + s.count - 1];
  }
};

class StepState {
 public:
  StepState(const Limits& limits, int32_t caches);

  // Enters, block tables and known tokens come in; then the rows as they stand. Allocates nothing unless a
  // sequence enters with logit biases.
  void apply(const Packet& packet, Rows& rows);

  // Slots advance by their rows.
  void finish(const Rows& rows);

  // The next step of a run: rows of the slots that have not stopped; false where none is left.
  bool next(const Packet& packet, Rows& rows);

  Slot& slot(int32_t index) { return slots_[index]; }
  const int32_t* table(int32_t cache, int32_t slot) const { return tables_.data() + table_at(cache, slot); }

 private:
  int64_t table_at(int32_t cache, int32_t slot) const {
    return (static_cast<int64_t>(slot) * caches_ + cache) * limits_.blocks_per_sequence();
  }
  void enter(const Packet& packet, const Enter& enter);
  bool goes_on(int32_t index) const;
  void lay_out(const Packet& packet, const Span& span, Rows& rows);

  Limits limits_;
  int32_t caches_;
  std::vector<Slot> slots_;
  Buffer<int32_t> tables_;  // [slots, caches, blocks_per_sequence], -1: no block
};

}  // namespace ostinato::cpu
