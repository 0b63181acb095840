// What a store counts, for each layer.
#pragma once
#include <array>
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
  kEvictions,      //
  kFailures,       // reads that failed
  kDemandBytes,    // read because somebody waited
  kPrefetchBytes,  // read because of a hint
  kReplicaBytes,   // of both, those that a replica served
  kStall,          // nanoseconds in which somebody waited for a parcel
};

constexpr std::array kCounterNames = {
    "hits",    "misses",    "useful",   "late",         "wasted",         "hinted",        "foreseen",
    "refused", "evictions", "failures", "demand_bytes", "prefetch_bytes", "replica_bytes", "stall_ns"};

using Counters = std::array<int64_t, kCounterNames.size()>;

}  // namespace ostinato::memory
