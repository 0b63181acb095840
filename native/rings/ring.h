// Ring: a queue of fixed records between exactly one producer and one consumer, in shared memory, without
// locks.
//
// Nothing is ever overwritten or lost: a push takes as many records as fit and says how many. A record
// becomes visible by the release store of `head`, so a producer that dies before it has pushed nothing.
// Positions count for ever (64 bits); a record lies at position % slots.
#pragma once

#include <algorithm>

#include "rings/atomics.h"

namespace ostinato::rings {

class Ring {
 public:
  static constexpr int64_t kCorrupt = -1;

  static constexpr bool valid(int64_t slots, int64_t words) {
    return slots > 0 && (slots & (slots - 1)) == 0 && slots <= (int64_t{1} << 30) && words > 0 &&
           words <= 4096;
  }
  static constexpr size_t bytes(size_t slots, size_t words) {
    const size_t data = slots * words * sizeof(int32_t);
    return sizeof(Header) + (data + kLine - 1) / kLine * kLine;
  }

  // `memory`: bytes(slots, words) of it, 64-byte aligned, zero in a new ring. `slots` is a power of two.
  Ring(void* memory, size_t slots, size_t words)
      : header_(static_cast<Header*>(memory)),
        data_(reinterpret_cast<int32_t*>(header_ + 1)),
        slots_(slots),
        words_(words) {}

  size_t slots() const { return slots_; }
  size_t words() const { return words_; }

  // Records waiting, or kCorrupt when the positions contradict each other (somebody wrote where he should
  // not).
  int64_t size() const {
    const uint64_t tail = load(header_->tail);
    const uint64_t waiting = load(header_->head) - tail;
    return waiting <= slots_ ? static_cast<int64_t>(waiting) : kCorrupt;
  }

  // Producer only. Appends the first records of `records` [count, words]; returns how many fitted, or
  // kCorrupt.
  int64_t push(const int32_t* records, size_t count) {
    const uint64_t head = load(header_->head);
    const uint64_t waiting = head - load(header_->tail);
    if (waiting > slots_) return kCorrupt;
    const size_t fit = std::min(count, slots_ - static_cast<size_t>(waiting));
    const size_t first = std::min(fit, slots_ - offset(head));
    copy_words(data_ + offset(head) * words_, records, first * words_);
    copy_words(data_, records + first * words_, (fit - first) * words_);
    store(header_->head, head + fit);
    return static_cast<int64_t>(fit);
  }

  // Consumer only. Takes the oldest records, at most `count`, into `out`; returns how many, or kCorrupt.
  int64_t pop(int32_t* out, size_t count) {
    const uint64_t tail = load(header_->tail);
    const uint64_t waiting = load(header_->head) - tail;
    if (waiting > slots_) return kCorrupt;
    const size_t taken = std::min(count, static_cast<size_t>(waiting));
    const size_t first = std::min(taken, slots_ - offset(tail));
    std::memcpy(out, data_ + offset(tail) * words_, first * words_ * sizeof(int32_t));
    std::memcpy(out + first * words_, data_, (taken - first) * words_ * sizeof(int32_t));
    store(header_->tail, tail + taken);
    return static_cast<int64_t>(taken);
  }

 private:
  struct Header {
    alignas(kLine) uint64_t head;  // records pushed so far; the producer writes it
    alignas(kLine) uint64_t tail;  // records popped so far; the consumer writes it
  };

  size_t offset(uint64_t position) const { return static_cast<size_t>(position & (slots_ - 1)); }

  Header* header_;
  int32_t* data_;
  size_t slots_;
  size_t words_;
};

}  // namespace ostinato::rings
