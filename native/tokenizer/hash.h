// Hashing of strings and an open-addressed table from hashes to 32-bit values. Keys lie elsewhere.
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace ostinato::tokenizer {

inline uint64_t mix(uint64_t hash) {
  hash ^= hash >> 32;
  hash *= 0x9E3779B97F4A7C15;  // 2^64 / golden ratio
  return hash ^ hash >> 29;
}

inline uint64_t hash_of(std::string_view text) {
  uint64_t hash = text.size();
  while (text.size() > sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, text.data(), sizeof(word));
    hash = mix(hash ^ word);
    text.remove_prefix(sizeof(word));
  }
  uint64_t word = 0;
  std::memcpy(&word, text.data(), text.size());
  return mix(mix(hash ^ word));
}

// Of an ordered pair of strings, from their hashes.
inline uint64_t hash_of(uint64_t left, uint64_t right) { return mix(left + std::rotl(right, 23)); }

// Linear probing at a load of at most 2/3. A probe longer than kLongestProbe happens only to a crafted set of
// keys; insert refuses it, which keeps every operation short.
class HashTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kLongestProbe = 1024;
  enum class Insertion { kDone, kDuplicate, kCrafted };

  void reserve(uint32_t keys) {
    slots_.assign(std::bit_ceil(std::max<size_t>(16, size_t{keys} + keys / 2)), Slot{});
    mask_ = static_cast<uint32_t>(slots_.size() - 1);
  }

  // The value whose key `is_key(value)` accepts, or kNone.
  template <class IsKey>
  uint32_t find(uint64_t hash, IsKey is_key) const {
    const auto tag = static_cast<uint32_t>(hash >> 32);
    for (auto at = static_cast<uint32_t>(hash) & mask_;; at = (at + 1) & mask_) {
      const Slot slot = slots_[at];
      if (slot.value == kNone || (slot.tag == tag && is_key(slot.value))) return slot.value;
    }
  }

  // Puts `value` under its key; a key that is there already keeps its first value, handed back in `first`.
  template <class IsKey>
  Insertion insert(uint64_t hash, uint32_t value, IsKey is_key, uint32_t& first) {
    const auto tag = static_cast<uint32_t>(hash >> 32);
    auto at = static_cast<uint32_t>(hash) & mask_;
    for (uint32_t probe = 0; probe < kLongestProbe; ++probe, at = (at + 1) & mask_) {
      Slot& slot = slots_[at];
      if (slot.value == kNone) {
        slot = {tag, value};
        return Insertion::kDone;
      }
      if (slot.tag == tag && is_key(slot.value)) {
        first = slot.value;
        return Insertion::kDuplicate;
      }
    }
    return Insertion::kCrafted;
  }

 private:
  struct Slot {
    uint32_t tag = 0, value = kNone;
  };
  std::vector<Slot> slots_;
  uint32_t mask_ = 0;
};

}  // namespace ostinato::tokenizer
