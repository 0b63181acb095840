// Store: from a plan that was checked to slots with memory behind them.
#include <algorithm>
#include <string>

#include "memory/expect.h"
#include "memory/store.h"
#include "memory/system.h"

namespace ostinato::memory {
namespace {

int32_t layers_of(const Catalogue& catalogue) {
  const auto last = std::max_element(catalogue.layer.begin(), catalogue.layer.end());
  return last == catalogue.layer.end() ? 0 : *last + 1;
}

}  // namespace

Store::Store(Catalogue catalogue, std::vector<File> files, const std::vector<PoolPlan>& pools,
             const std::vector<CachePlan>& caches, std::unique_ptr<Policy> policy, const Options& options)
    : catalogue_(std::move(catalogue)),
      population_(caches.size()),
      policy_(std::move(policy)),
      budget_(options.budget),
      records_(catalogue_.cache.size()),
      reader_(std::move(files), options.reader,
              [this](int32_t parcel, const Outcome& outcome) { finish(parcel, outcome); }) {
  check(catalogue_, sizes_of(reader_.files()));
  hints_.resize(layers_of(catalogue_));
  counters_.resize(hints_.size());
  for (const int32_t cache : catalogue_.cache) {
    expect(cache >= 0 && cache < static_cast<int32_t>(caches.size()), "a parcel has a cache");
    ++population_[cache];
  }
  check_plan(pools, caches);
  for (const auto& [pool, quota] : caches) caches_.emplace_back(pool, quota);
  for (size_t p = 0; p < pools.size(); ++p) {
    int32_t parcels = 0;
    for (const int32_t cache : caches_of(static_cast<int32_t>(p))) parcels += population_[cache];
    pools_.emplace_back(pools[p].slot_bytes, std::max(parcels, pools[p].slots), options.locked);
  }
  place_extents();
  for (size_t p = 0; p < pools.size(); ++p) {
    pools_[p].populate(0, pools[p].slots);
    pools_[p].open(pools[p].slots);
  }
  for (int32_t parcel = 0; parcel < catalogue_.parcels(); ++parcel) {
    records_[parcel].worth = {policy_->untouched(parcel), -1};
  }
}

Store::~Store() { close(); }

void Store::place_extents() {
  for (int32_t parcel = 0; parcel < catalogue_.parcels(); ++parcel) {
    int64_t end = 0, payload = 0;
    for (const Extent& extent : catalogue_.of(parcel)) {
      placed_.push_back(place(extent, end, reader_.block()));
      end += placed_.back().bytes;
      payload += extent.bytes;
    }
    payload_.push_back(payload);
    expect(end <= pool_of(parcel).slot_bytes(), "parcel " + std::to_string(parcel) + " takes " +
                                                    std::to_string(end) + " bytes, its slot has " +
                                                    std::to_string(pool_of(parcel).slot_bytes()));
  }
}

// Before there is memory behind any slot.
void Store::check_plan(const std::vector<PoolPlan>& pools, const std::vector<CachePlan>& caches) const {
  std::vector<int64_t> quotas(pools.size());
  for (size_t c = 0; c < caches.size(); ++c) {
    const auto& [pool, quota] = caches[c];
    expect(pool >= 0 && pool < static_cast<int32_t>(pools.size()), "a cache has a pool");
    expect(quota >= (population_[c] > 0), "a cache with parcels has a slot");
    quotas[pool] += quota;
  }
  int64_t bytes = 0;
  for (size_t p = 0; p < pools.size(); ++p) {
    const auto& [slot_bytes, slots] = pools[p];
    expect(slots > 0 && slot_bytes > 0 && slot_bytes % page_bytes() == 0, "slots are some, of whole pages");
    expect(quotas[p] <= slots, "the caches' quotas are more than the pool's slots");
    bytes += slot_bytes * slots;
  }
  expect(bytes <= budget_,
         "the slots take " + std::to_string(bytes) + " bytes, the budget is " + std::to_string(budget_));
}

}  // namespace ostinato::memory
