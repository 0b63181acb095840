// SequenceTable: what a server asked of an engine and how far it got, in memory that outlives the engine.
//
// One fixed-size run of words per request (all sections start on a cache line):
//
//     SequenceOwner | SequenceEngine | CommittedSlot x 2 | SequenceParameters | stop ids | bias pairs
//     | tokens [context] | block tables [caches][blocks_per_sequence]
//
// The engine writes tokens and block table entries beyond what is committed, then the slot that does not
// hold, then flips with one release store. It may die between any two stores: the other slot still holds.
// Below the committed lengths nothing is changed in place; who wants to replace block table entries commits 0
// first.
#pragma once

#include "ostinato/tables.h"
#include "rings/atomics.h"

namespace ostinato::rings {

// Sizes of a table, in words of 4 bytes. Offsets are relative to a record.
struct SequenceLayout {
  int32_t capacity, context, caches, blocks_per_sequence;

  static constexpr int64_t kLineWords = kLine / sizeof(int32_t);
  static constexpr int64_t lines(int64_t words) { return (words + kLineWords - 1) / kLineWords * kLineWords; }
  template <class Record>
  static constexpr int64_t lines_of() {
    return lines(sizeof(Record) / sizeof(int32_t));
  }

  static constexpr int64_t owner() { return 0; }
  static constexpr int64_t engine() { return owner() + lines_of<SequenceOwner>(); }
  static constexpr int64_t slot(int index) {
    return engine() + lines_of<SequenceEngine>() + index * lines_of<CommittedSlot>();
  }
  static constexpr int64_t parameters() { return slot(2); }
  static constexpr int64_t stop_ids() { return parameters() + lines_of<SequenceParameters>(); }
  static constexpr int64_t bias() { return stop_ids() + lines(kMaxStopIds); }
  static constexpr int64_t tokens() { return bias() + lines(2 * kMaxBias); }
  int64_t blocks(int cache) const { return tokens() + lines(context) + cache * lines(blocks_per_sequence); }
  int64_t record_words() const { return blocks(caches); }
  int64_t record(int index) const { return lines_of<StepMarks>() + index * record_words(); }
  int64_t words() const { return record(capacity); }

  bool valid() const {
    return capacity > 0 && context > 0 && caches >= 0 && caches <= kMaxCaches && blocks_per_sequence >= 0;
  }
};

// Two writers with distinct roles: the owner (server) allocates and acknowledges, the engine commits and
// marks steps. The committed state may be read by anyone at any time.
class SequenceTable {
 public:
  SequenceTable(int32_t* memory, const SequenceLayout& layout) : memory_(memory), layout_(layout) {}

  const SequenceLayout& layout() const { return layout_; }
  int32_t* words(int record) const { return memory_ + layout_.record(record); }
  SequenceOwner& owner(int record) const { return at<SequenceOwner>(record, SequenceLayout::owner()); }
  SequenceEngine& engine(int record) const { return at<SequenceEngine>(record, SequenceLayout::engine()); }

  bool live(int record) const { return load(owner(record).state) == int32_t(SequenceState::kLive); }

  CommittedSlot committed(int record) const {
    CommittedSlot out;
    int32_t before;
    do {
      before = load(engine(record).commits);
      read(slot(record, before & 1), out);
    } while (load(engine(record).commits) != before);
    return out;
  }

  void commit(int record, const CommittedSlot& state) {
    int32_t& commits = engine(record).commits;
    const auto next = static_cast<int32_t>(static_cast<uint32_t>(load(commits)) + 1u);
    write(slot(record, next & 1), state);
    store(commits, next);
  }

  // The record's parameters and prompt are written: from here on the engine may see it.
  void publish(int record, int32_t order) {
    SequenceOwner& own = owner(record);
    store(own.acked, 0);
    store(own.order, order);
    store(engine(record).step, 0);
    store(engine(record).reach, 0);
    store(engine(record).suspect, 0);
    store(own.generation, own.generation == INT32_MAX ? 1 : own.generation + 1);
    store(own.state, int32_t(SequenceState::kLive));
  }

  void free(int record) { store(owner(record).state, int32_t(SequenceState::kFree)); }

  void begin_step(int32_t step) { store(marks().submitted, step); }
  void mark(int record, int32_t step, int32_t reach) {
    store(engine(record).reach, reach);
    store(engine(record).step, step);
  }
  void step_done(int32_t step) { store(marks().collected, step); }
  int32_t last_step() const { return load(marks().submitted); }

  // Named by a step that was submitted and is not done. Steps wrap around; 0 is no step.
  bool in_flight(int record) const {
    const int32_t step = load(engine(record).step);
    const uint32_t ahead = static_cast<uint32_t>(step) - static_cast<uint32_t>(load(marks().collected));
    return live(record) && step != 0 && static_cast<int32_t>(ahead) > 0;
  }

 private:
  template <class Record>
  Record& at(int record, int64_t offset) const {
    return *reinterpret_cast<Record*>(words(record) + offset);
  }
  CommittedSlot& slot(int record, int index) const {
    return at<CommittedSlot>(record, SequenceLayout::slot(index));
  }
  StepMarks& marks() const { return *reinterpret_cast<StepMarks*>(memory_); }

  static constexpr size_t kSlotWords = sizeof(CommittedSlot) / sizeof(int32_t);
  static void read(const CommittedSlot& from, CommittedSlot& to) {
    for (size_t i = 0; i < kSlotWords; ++i) {
      reinterpret_cast<int32_t*>(&to)[i] = load(reinterpret_cast<const int32_t*>(&from)[i]);
    }
  }
  static void write(CommittedSlot& to, const CommittedSlot& from) {
    for (size_t i = 0; i < kSlotWords; ++i) {
      store(reinterpret_cast<int32_t*>(&to)[i], reinterpret_cast<const int32_t*>(&from)[i]);
    }
  }

  int32_t* memory_;
  SequenceLayout layout_;
};

}  // namespace ostinato::rings
