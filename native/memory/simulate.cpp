#include "memory/simulate.h"

#include <span>
#include <stdexcept>

#include "memory/cache.h"

namespace ostinato::memory {
namespace {

class Simulation {
 public:
  Simulation(const std::vector<int32_t>& cache, const std::vector<int32_t>& quotas,
             const std::vector<int32_t>& kept, Policy& policy)
      : cache_(cache), policy_(policy), state_(cache.size(), kAbsent), worth_(cache.size()) {
    for (const int32_t quota : quotas) caches_.emplace_back(0, quota);
    for (const int32_t parcel : kept) {
      Cache& own = caches_[cache_[parcel]];
      if (++own.used > own.quota) throw std::invalid_argument("more parcels are kept than there are slots");
      state_[parcel] = kKept;
    }
  }

  int32_t step(std::span<const int32_t> wanted, int64_t now) {
    std::vector<int32_t> missing, used;
    int32_t hits = 0;
    for (const int32_t parcel : wanted) {
      if (state_[parcel] == kResident) caches_[cache_[parcel]].withdraw(parcel, worth_[parcel]);
      worth_[parcel] = {policy_.touched(parcel, now, 1), now};
      hits += state_[parcel] != kAbsent;
      if (state_[parcel] == kResident) used.push_back(parcel);
      if (state_[parcel] == kAbsent) missing.push_back(parcel);
    }
    for (const int32_t parcel : missing) {
      if (admit(caches_[cache_[parcel]])) used.push_back(parcel);
    }
    for (const int32_t parcel : used) {
      state_[parcel] = kResident;
      caches_[cache_[parcel]].offer(parcel, worth_[parcel]);
    }
    return hits;
  }

 private:
  enum State : uint8_t { kAbsent, kResident, kKept };

  bool admit(Cache& cache) {
    if (cache.used < cache.quota) {
      ++cache.used;
      return true;
    }
    const int32_t victim = cache.victim(false);
    if (victim < 0) return false;
    cache.withdraw(victim, worth_[victim]);
    state_[victim] = kAbsent;
    return true;
  }

  const std::vector<int32_t>& cache_;
  Policy& policy_;
  std::vector<Cache> caches_;
  std::vector<State> state_;
  std::vector<Worth> worth_;
};

}  // namespace

std::vector<int32_t> simulate(const Trace& trace, const std::vector<int32_t>& cache,
                              const std::vector<int32_t>& quotas, const std::vector<int32_t>& kept,
                              Policy& policy) {
  Simulation simulation(cache, quotas, kept, policy);
  std::vector<int32_t> hits(trace.steps());
  for (int64_t step = 0; step < trace.steps(); ++step) {
    const std::span<const int32_t> all(trace.parcels);
    hits[step] =
        simulation.step(all.subspan(trace.first[step], trace.first[step + 1] - trace.first[step]), step);
  }
  return hits;
}

}  // namespace ostinato::memory
