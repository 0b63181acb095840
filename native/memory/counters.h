// What a store counts, for each layer.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace ostinato::memory {

enum class Counter : uint8_t {
  kHits,           // wanted and resident
  kMisses,         // wanted and not
  kUseful,         // hits of what a prefetch had read
  kLate,           // misses whose prefetch had been asked for but was not over
  kWasted,         // prefetched and not wanted when its layer came, or evicted before
  kHinted,         // hints, whether something was read for them or not
  kForeseen,       // wanted after a hint: recall is foreseen / (hits + misses), precision foreseen / hinted
  kRefused,        // hints for which there was no slot
  kEvictions,      // parcels that gave up their slot to another, or to the system
  kFailures,       // reads that failed
  kDemandBytes,    // read because somebody waited
  kPrefetchBytes,  // read because of a hint
  kReplicaBytes,   // of both, those that a replica served
  kCoarse,         // wanted in fewer bits: a copy's hits and misses, which count as such too
  kStall,          // nanoseconds in which somebody waited for a parcel
};

struct NamedCounter {
  Counter counter;
  const char* name;
};

constexpr std::array kCounters = {
    NamedCounter{Counter::kHits, "hits"},
    NamedCounter{Counter::kMisses, "misses"},
    NamedCounter{Counter::kUseful, "useful"},
    NamedCounter{Counter::kLate, "late"},
    NamedCounter{Counter::kWasted, "wasted"},
    NamedCounter{Counter::kHinted, "hinted"},
    NamedCounter{Counter::kForeseen, "foreseen"},
    NamedCounter{Counter::kRefused, "refused"},
    NamedCounter{Counter::kEvictions, "evictions"},
    NamedCounter{Counter::kFailures, "failures"},
    NamedCounter{Counter::kDemandBytes, "demand_bytes"},
    NamedCounter{Counter::kPrefetchBytes, "prefetch_bytes"},
    NamedCounter{Counter::kReplicaBytes, "replica_bytes"},
    NamedCounter{Counter::kCoarse, "coarse"},
    NamedCounter{Counter::kStall, "stall_ns"},
};

constexpr bool named_in_order() {
  for (size_t i = 0; i < kCounters.size(); ++i) {
    if (static_cast<size_t>(kCounters[i].counter) != i) return false;
  }
  return static_cast<size_t>(Counter::kStall) + 1 == kCounters.size();
}
static_assert(named_in_order(), "every counter has a name, in the order of the enum");

using Counters = std::array<int64_t, kCounters.size()>;

}  // namespace ostinato::memory
