// Equal slots of memory, so that nothing can fragment: one range of reserved address space, of which slots
// 0 .. slots have memory behind them, all of it from the start, huge pages where the system has them.
#pragma once
#include <cstdint>
#include <set>
#include <stdexcept>

namespace ostinato::memory {

// The system has no more memory, or none that may be locked; the text says how much was wanted.
class NoMemory : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Pool {
 public:
  // `slot_bytes` is a multiple of the system's page; never more than `most` slots. `locked`: never swapped
  // out.
  Pool(int64_t slot_bytes, int32_t most, bool locked);
  ~Pool();
  Pool(Pool&& other) noexcept;
  Pool(const Pool&) = delete;

  int64_t slot_bytes() const { return slot_bytes_; }
  int32_t slots() const { return slots_; }
  int32_t most() const { return most_; }
  int32_t used() const { return slots_ - static_cast<int32_t>(free_.size()); }
  int64_t bytes() const { return slots_ * slot_bytes_; }
  bool is_free(int32_t slot) const { return free_.contains(slot); }
  uint8_t* at(int32_t slot) const { return memory_ + slot * slot_bytes_; }

  int32_t take();  // the lowest free slot, or -1
  void put_back(int32_t slot) { free_.insert(slot); }

  // Growing has two parts, so that the slow one (memory is found and zeroed) needs no lock.
  void populate(int32_t first, int32_t last) const;  // throws NoMemory
  void open(int32_t slots);                          // slots below are there from now on, and free

  // So has shrinking: the slots from `slots` on, all free, are no more; then their memory goes.
  void close(int32_t slots);
  void give_back(int32_t first, int32_t last) const;

 private:
  int64_t slot_bytes_;
  int32_t most_, slots_ = 0;
  bool locked_;
  uint8_t* memory_;
  std::set<int32_t> free_;
};

}  // namespace ostinato::memory
