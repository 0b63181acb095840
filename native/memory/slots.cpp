// Store: who gets a slot, who loses one, and how many there are.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <string>

#include "memory/store.h"
#include "memory/system.h"

namespace ostinato::memory {

// Slots for those in line, while there are any.
void Store::serve(Cache& cache) {
  while (!closed_ && !cache.line.empty()) {
    const int32_t slot = find_slot(cache, Priority::kDemand);
    if (slot < 0) return;
    const int32_t parcel = cache.line.front();
    cache.line.pop_front();
    begin(parcel, slot, Priority::kDemand);
  }
}

// A slot for the cache, or -1: a free one, that of the candidate of least worth; for a demand also that of a
// prefetch which has not begun, and at last that of what is foreseen.
int32_t Store::find_slot(Cache& cache, Priority priority) {
  if (cache.used == cache.quota) {
    const bool demand = priority == Priority::kDemand;
    int32_t victim = cache.victim(true);
    if (victim < 0 && demand && !take_back_prefetch(cache)) victim = cache.victim(false);
    if (victim >= 0) evict(victim);
  }
  if (cache.used == cache.quota) return -1;
  ++cache.used;
  return pools_[cache.pool].take();
}

bool Store::take_back_prefetch(const Cache& cache) {
  for (const std::vector<int32_t>& hinted : hints_) {
    for (const int32_t parcel : hinted) {
      Record& r = records_[parcel];
      if (&cache_of(parcel) != &cache || !r.prefetched || r.state != State::kReading) continue;
      if (!reader_.cancel(parcel)) continue;
      r.prefetched = false;
      count(Counter::kRefused, parcel) += 1;
      vacate(parcel);
      return true;
    }
  }
  return false;
}

// Its slot is free again.
void Store::vacate(int32_t parcel) {
  Record& r = records_[parcel];
  pool_of(parcel).put_back(r.slot);
  --cache_of(parcel).used;
  r.slot = -1;
  r.state = State::kAbsent;
}

void Store::evict(int32_t parcel) {
  Record& r = records_[parcel];
  withdraw(parcel);
  vacate(parcel);
  count(Counter::kEvictions, parcel) += 1;
  count(Counter::kWasted, parcel) += r.prefetched;
  r.prefetched = false;
}

void Store::offer(int32_t parcel) {
  const Record& r = records_[parcel];
  if (candidate(r)) cache_of(parcel).offer(parcel, filed(r));
}

void Store::withdraw(int32_t parcel) {
  const Record& r = records_[parcel];
  if (candidate(r)) cache_of(parcel).withdraw(parcel, filed(r));
}

void Store::keep(std::span<const int32_t> parcels) {
  const std::lock_guard lock(mutex_);
  check_parcels(parcels);
  std::vector<int32_t> kept(caches_.size());
  for (const int32_t parcel : parcels) ++kept[catalogue_.cache[parcel]];
  for (size_t c = 0; c < caches_.size(); ++c) {
    if (kept[c] + (kept[c] < population_[c]) > caches_[c].quota) {
      throw std::invalid_argument("cache " + std::to_string(c) + " cannot keep " + std::to_string(kept[c]) +
                                  " parcels in " + std::to_string(caches_[c].quota) + " slots");
    }
    caches_[c].kept = kept[c];
  }
  std::vector<bool> chosen(records_.size());
  for (const int32_t parcel : parcels) chosen[parcel] = true;
  for (int32_t parcel = 0; parcel < catalogue_.parcels(); ++parcel) {
    withdraw(parcel);
    records_[parcel].kept = chosen[parcel];
    offer(parcel);
  }
  for (Cache& cache : caches_) serve(cache);
}

bool Store::resize(int32_t pool_index, int32_t slots, std::span<const int32_t> quotas) {
  const std::lock_guard only(resizing_);
  check_resize(pool_index, slots, quotas);
  Pool& pool = pools_[pool_index];
  const int32_t before = pool.slots();
  pool.populate(before, slots);
  bool done;
  {
    const std::lock_guard lock(mutex_);
    pool.open(slots);
    done = make_room(pool_index, slots, quotas);
    pool.close(done ? slots : before);
    const std::vector<int32_t> caches = caches_of(pool_index);
    for (size_t i = 0; i < caches.size() && done; ++i) caches_[caches[i]].quota = quotas[i];
    for (const int32_t cache : caches) serve(caches_[cache]);
  }
  if (done) pool.give_back(slots, before);
  if (!done) pool.give_back(before, slots);
  return done;
}

// No cache of the pool has more slots than its quota, and all of them are below `slots`.
bool Store::make_room(int32_t pool_index, int32_t slots, std::span<const int32_t> quotas) {
  const std::vector<int32_t> caches = caches_of(pool_index);
  for (size_t i = 0; i < caches.size(); ++i) {
    Cache& cache = caches_[caches[i]];
    while (cache.used > quotas[i]) {
      const int32_t victim = cache.victim(false);
      if (victim < 0) return false;
      evict(victim);
    }
  }
  std::vector<int32_t> above;
  for (int32_t parcel = 0; parcel < catalogue_.parcels(); ++parcel) {
    const Record& r = records_[parcel];
    if (cache_of(parcel).pool != pool_index || r.slot < slots) continue;
    if (r.state != State::kResident || r.pins > 0) return false;
    above.push_back(parcel);
  }
  for (const int32_t parcel : above) move(parcel, pools_[pool_index].take());
  return true;
}

// To another slot, while nobody uses it. Cheaper than reading it again by far, and seldom, so the lock stays.
void Store::move(int32_t parcel, int32_t slot) {
  Record& r = records_[parcel];
  Pool& pool = pool_of(parcel);
  std::memcpy(pool.at(slot), pool.at(r.slot), pool.slot_bytes());
  pool.put_back(r.slot);
  r.slot = slot;
}

bool Store::set_budget(int64_t bytes) {
  const std::lock_guard only(resizing_);
  const std::lock_guard lock(mutex_);
  if (total_bytes() > bytes) return false;
  budget_ = bytes;
  return true;
}

void Store::check_resize(int32_t pool, int32_t slots, std::span<const int32_t> quotas) const {
  const std::lock_guard lock(mutex_);
  if (pool < 0 || pool >= static_cast<int32_t>(pools_.size()))
    throw std::invalid_argument("there is no such pool");
  if (slots < 1 || slots > pools_[pool].most()) {
    throw std::invalid_argument("a pool has 1 to " + std::to_string(pools_[pool].most()) + " slots, not " +
                                std::to_string(slots));
  }
  if (total_bytes() + (slots - pools_[pool].slots()) * pools_[pool].slot_bytes() > budget_) {
    throw std::invalid_argument("the budget has no room for that many slots");
  }
  const std::vector<int32_t> caches = caches_of(pool);
  if (quotas.size() != caches.size()) throw std::invalid_argument("every cache of the pool has a quota");
  int64_t sum = 0;
  for (size_t i = 0; i < caches.size(); ++i) {
    const int32_t kept = caches_[caches[i]].kept, all = population_[caches[i]];
    if (quotas[i] < kept + (kept < all)) throw std::invalid_argument("a cache has too few slots");
    sum += quotas[i];
  }
  if (sum > slots) throw std::invalid_argument("the caches' quotas are more than the pool's slots");
}

std::vector<int32_t> Store::caches_of(int32_t pool) const {
  std::vector<int32_t> found;
  for (size_t c = 0; c < caches_.size(); ++c) {
    if (caches_[c].pool == pool) found.push_back(static_cast<int32_t>(c));
  }
  return found;
}

int64_t Store::total_bytes() const {
  return std::accumulate(pools_.begin(), pools_.end(), int64_t{0},
                         [](int64_t sum, const Pool& pool) { return sum + pool.bytes(); });
}

}  // namespace ostinato::memory
