// What a cache would have done: a trace replayed on the same policies and the same order of victims, without
// memory.
#pragma once
#include <cstdint>
#include <vector>

#include "memory/policy.h"

namespace ostinato::memory {

// Parcels of every step that were there when it wanted them. `cache` names each parcel's cache, `quotas` each
// cache's slots; `kept` parcels are there from the start and never go. A step that wants more than there are
// slots for computes in portions: what found no slot is a miss and is gone again after it.
std::vector<int32_t> simulate(const Trace& trace, const std::vector<int32_t>& cache,
                              const std::vector<int32_t>& quotas, const std::vector<int32_t>& kept,
                              Policy& policy);

}  // namespace ostinato::memory
