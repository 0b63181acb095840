#include "memory/pool.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "memory/system.h"

namespace ostinato::memory {

Pool::Pool(int64_t slot_bytes, int32_t most, bool locked)
    : slot_bytes_(slot_bytes), most_(most), locked_(locked), memory_(reserve(slot_bytes * most)) {
  if (memory_ == nullptr) {
    throw NoMemory("no address space for " + std::to_string(slot_bytes * most) + " bytes of slots");
  }
}

Pool::Pool(Pool&& other) noexcept
    : slot_bytes_(other.slot_bytes_),
      most_(other.most_),
      slots_(other.slots_),
      locked_(other.locked_),
      memory_(std::exchange(other.memory_, nullptr)),
      free_(std::move(other.free_)) {}

Pool::~Pool() {
  if (memory_ != nullptr) unreserve(memory_, slot_bytes_ * most_);
}

int32_t Pool::take() {
  if (free_.empty()) return -1;
  return free_.extract(free_.begin()).value();
}

void Pool::populate(int32_t first, int32_t last) const {
  if (first >= last) return;
  const int64_t bytes = (last - first) * slot_bytes_;
  if (memory::populate(at(first), bytes, locked_)) return;
  const int error = errno;
  give_back(first, last);
  throw NoMemory("no memory for " + std::to_string(bytes) + " bytes of slots: " + std::strerror(error) +
                 (locked_ ? " (locked memory has a limit of its own: ulimit -l)" : ""));
}

void Pool::give_back(int32_t first, int32_t last) const {
  if (first < last) memory::give_back(at(first), (last - first) * slot_bytes_, locked_);
}

void Pool::open(int32_t slots) {
  for (; slots_ < slots; ++slots_) free_.insert(slots_);
}

void Pool::close(int32_t slots) {
  free_.erase(free_.lower_bound(slots), free_.end());
  slots_ = slots;
}

}  // namespace ostinato::memory
