// A step on the wire: int32 words as backends/batch_table.py
// lays them out, and the check that they are sound.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cpu/model.h"
#include "ostinato/tables.h"

namespace ostinato::cpu {

// The sections of a packet, pointing into its words. Made by parse() only.
struct Packet {
  std::vector<int32_t> words;
  std::span<const Span> spans;
  std::span<const Enter> enters;
  std::span<const Table> tables;
  std::span<const Mask> masks;
  std::span<const int32_t> pool;

  const Header& header() const { return *reinterpret_cast<const Header*>(words.data()); }

  // Takes a copy of the words and finds the sections. Returns an error, or "".
  std::string parse(std::span<const int32_t> from);
};

// Decides whether a packet may run. Keeps what each slot will be once all admitted steps have run, so that a
// step that waits for another is checked before it starts.
class Admission {
 public:
  Admission(const Limits& limits, int32_t caches, bool recurrent);

  // Returns an error and changes nothing, or "" and counts the packet as submitted.
  std::string admit(const Packet& packet);

  // The run of `packet` is over; `rows` of each of its spans were computed.
  void collected(const Packet& packet, std::span<const int32_t> rows);

 private:
  struct Slot {
    int32_t length = 0;           // next position
    std::vector<int32_t> blocks;  // [caches] entries of the block table that are known, from the first
    bool in_run = false;          // the length is known when the run was collected
    bool computed = true;         // every row below the length was computed here
  };

  std::string check(const Packet& packet);
  std::string check_counts(const Packet& packet) const;
  std::string check_run(const Packet& packet) const;
  std::string check_enter(const Packet& packet, const Enter& enter);
  std::string check_table(const Packet& packet, const Table& table);
  std::string check_mask(const Packet& packet, const Mask& mask) const;
  std::string check_span(const Packet& packet, const Span& span);
  std::string check_state(const Slot& slot, int64_t start) const;
  bool tokens_known(std::span<const int32_t> tokens) const;

  Limits limits_;
  int32_t caches_;
  bool recurrent_;  // rows move state that lies here, which cannot be rolled back
  std::vector<Slot> slots_, draft_;
  std::vector<char> seen_;  // slots named by a span of the packet
};

}  // namespace ostinato::cpu
