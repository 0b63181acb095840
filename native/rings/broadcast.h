// Broadcast: one writer, any number of readers that only look. The writer never waits; a reader that falls
// more than `slots` records behind is told how many it lost.
//
// Every slot carries a sequence number: 2p+1 while record p is being written, 2p+2 when it stands. A reader
// that sees another number before or after its copy was overrun.
#pragma once

#include <algorithm>

#include "rings/atomics.h"

namespace ostinato::rings {

class Broadcast {
 public:
  static constexpr bool valid(int64_t slots, int64_t words) {
    return slots > 1 && (slots & (slots - 1)) == 0 && slots <= (int64_t{1} << 30) && words > 0 &&
           words <= 4096;
  }
  static constexpr size_t bytes(size_t slots, size_t words) { return kLine + slots * slot_bytes(words); }

  // `memory`: bytes(slots, words) of it, 64-byte aligned, zero in a new broadcast.
  Broadcast(void* memory, size_t slots, size_t words)
      : memory_(static_cast<char*>(memory)), slots_(slots), words_(words) {}

  size_t words() const { return words_; }

  // Records written so far.
  uint64_t head() const { return load(*reinterpret_cast<const uint64_t*>(memory_)); }

  // The writer only. Appends `count` records, over the oldest ones.
  void write(const int32_t* records, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      const uint64_t position = head();
      store(sequence(position), 2 * position + 1);
      for (size_t w = 0; w < words_; ++w) store(payload(position)[w], records[i * words_ + w]);
      store(sequence(position), 2 * position + 2);
      store(*reinterpret_cast<uint64_t*>(memory_), position + 1);
    }
  }

  struct Read {
    size_t count;   // records copied
    uint64_t lost;  // records that were overwritten before they could be copied, all older than those copied
  };

  // Copies records from `position` on, at most `count`, and moves `position` past them. Stops early at a
  // loss, so that what was lost lies before everything copied: call again for the rest.
  Read read(uint64_t& position, int32_t* out, size_t count) const {
    uint64_t lost = 0;
    size_t copied = 0;
    while (copied < count) {
      const uint64_t written = head();
      if (position >= written) break;
      if (written - position <= slots_ && copy(position, out + copied * words_)) {
        ++position;
        ++copied;
        continue;
      }
      if (copied > 0) break;
      const uint64_t oldest = oldest_safe(head());
      lost += oldest - std::min(position, oldest);
      position = std::max(position, oldest);
    }
    return {copied, lost};
  }

 private:
  static constexpr size_t slot_bytes(size_t words) {
    return (sizeof(uint64_t) + words * sizeof(int32_t) + 7) / 8 * 8;
  }
  char* slot(uint64_t position) const {
    return memory_ + kLine + (position & (slots_ - 1)) * slot_bytes(words_);
  }
  uint64_t& sequence(uint64_t position) const { return *reinterpret_cast<uint64_t*>(slot(position)); }
  int32_t* payload(uint64_t position) const {
    return reinterpret_cast<int32_t*>(slot(position) + sizeof(uint64_t));
  }
  // After an overrun a reader takes up at the newer half, or the writer would overrun it again at once.
  uint64_t oldest_safe(uint64_t written) const { return written > slots_ / 2 ? written - slots_ / 2 : 0; }

  bool copy(uint64_t position, int32_t* out) const {
    if (load(sequence(position)) != 2 * position + 2) return false;
    for (size_t w = 0; w < words_; ++w) out[w] = load(payload(position)[w]);
    return load(sequence(position)) == 2 * position + 2;
  }

  char* memory_;
  size_t slots_;
  size_t words_;
};

}  // namespace ostinato::rings
