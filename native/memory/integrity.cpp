// Store: what it says about itself, and whether that is sound.
#include <algorithm>
#include <stdexcept>
#include <string>

#include "memory/request.h"

namespace ostinato::memory {
namespace {

void hold(bool holds, const std::string& invariant) {
  if (!holds) throw std::logic_error("the store is not sound: " + invariant);
}

}  // namespace

std::span<const uint8_t> Store::data(int32_t parcel, int32_t extent) const {
  const int32_t e = catalogue_.first[parcel] + extent;
  const Pool& pool = pools_[caches_[catalogue_.cache[parcel]].pool];
  return {pool.at(records_[parcel].slot) + placed_[e].start + placed_[e].skip,
          static_cast<size_t>(catalogue_.extents[e].bytes)};
}

std::vector<Counters> Store::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

std::vector<Store::Occupancy> Store::occupancy() const {
  const std::lock_guard lock(mutex_);
  std::vector<Occupancy> all;
  all.reserve(pools_.size());
  for (const Pool& pool : pools_) all.push_back({pool.slot_bytes(), pool.slots(), pool.used(), 0});
  for (int32_t parcel = 0; parcel < catalogue_.parcels(); ++parcel) {
    if (records_[parcel].slot >= 0) all[caches_[catalogue_.cache[parcel]].pool].payload += payload_[parcel];
  }
  return all;
}

std::vector<Store::State> Store::states() const {
  const std::lock_guard lock(mutex_);
  std::vector<State> all;
  all.reserve(records_.size());
  for (const Record& record : records_) all.push_back(record.state);
  return all;
}

std::vector<int64_t> Store::uses() const {
  const std::lock_guard lock(mutex_);
  std::vector<int64_t> all;
  all.reserve(records_.size());
  for (const Record& record : records_) all.push_back(record.uses);
  return all;
}

int64_t Store::bytes() const {
  const std::lock_guard lock(mutex_);
  return total_bytes();
}

int64_t Store::budget() const {
  const std::lock_guard lock(mutex_);
  return budget_;
}

void Store::check_integrity() const {
  const std::lock_guard lock(mutex_);
  hold(total_bytes() <= budget_, "the slots take more than the budget");
  std::vector<std::vector<bool>> owned;
  owned.reserve(pools_.size());
  for (const Pool& pool : pools_) owned.emplace_back(pool.slots());
  std::vector<int32_t> used(caches_.size());
  std::vector<size_t> candidates(caches_.size()), queued(caches_.size());
  for (int32_t parcel = 0; parcel < catalogue_.parcels(); ++parcel) {
    const Record& r = records_[parcel];
    const int32_t cache = catalogue_.cache[parcel], pool = caches_[cache].pool;
    check_parcel_state(parcel);
    candidates[cache] += candidate(r);
    queued[cache] += r.state == State::kQueued;
    if (r.slot < 0) continue;
    hold(r.slot < pools_[pool].slots() && !pools_[pool].is_free(r.slot),
         "a parcel lies in a slot that is free");
    hold(!owned[pool][r.slot], "two parcels lie in one slot");
    owned[pool][r.slot] = true;
    ++used[cache];
  }
  std::vector<int32_t> quotas(pools_.size()), taken(pools_.size());
  for (size_t c = 0; c < caches_.size(); ++c) {
    const Cache& cache = caches_[c];
    hold(cache.used == used[c] && cache.used <= cache.quota, "a cache miscounts its slots or has too many");
    hold(cache.candidates() == candidates[c], "a cache would evict what is in use, or never what is not");
    hold(cache.line.size() == queued[c], "a line misses somebody");
    hold(cache.line.empty() || closed_ || (cache.used == cache.quota && candidates[c] == 0),
         "somebody waits in line while there is a slot");
    quotas[cache.pool] += cache.quota;
    taken[cache.pool] += used[c];
  }
  for (size_t p = 0; p < pools_.size(); ++p) {
    hold(quotas[p] <= pools_[p].slots(), "quotas are more than the slots");
    hold(taken[p] == pools_[p].used(), "a slot belongs to nobody and is not free");
  }
}

void Store::check_parcel_state(int32_t parcel) const {
  const Record& r = records_[parcel];
  const Cache& cache = caches_[catalogue_.cache[parcel]];
  const bool resident = r.state == State::kResident, waits = !r.waiting.empty();
  hold((r.slot >= 0) == (resident || r.state == State::kReading),
       "a slot for what is neither read nor resident");
  hold(r.pins >= 0 && (r.pins == 0 || resident), "something is pinned that is not there");
  hold(!(waits && (resident || r.state == State::kAbsent)), "somebody waits for what will not come");
  hold(waits || r.state != State::kQueued, "something is in line that nobody wants");
  hold(!candidate(r) || cache.offers(parcel, filed(r)), "a candidate is filed under another worth");
  hold(!(r.prefetched && waits), "what is wanted still counts as prefetched");
}

}  // namespace ostinato::memory
