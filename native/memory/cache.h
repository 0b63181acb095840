// A cache: some slots of a pool and the parcels that compete for them. One a pool, shared by all layers, or
// one a layer. It knows who may go and who is in line; the store moves the slots.
#pragma once
#include <cstdint>
#include <deque>
#include <limits>
#include <set>
#include <utility>

#include "memory/policy.h"

namespace ostinato::memory {

// The score of what a hint protects: above all that a policy gives.
constexpr double kForeseen = std::numeric_limits<double>::infinity();

class Cache {
 public:
  Cache(int32_t pool, int32_t quota) : pool(pool), quota(quota) {}

  const int32_t pool;
  int32_t quota;             // slots that it may hold at most
  int32_t used = 0;          // slots that it holds
  int32_t kept = 0;          // parcels that never go, resident or not
  std::deque<int32_t> line;  // parcels that are wanted and have no slot, first come first served

  // Candidates: resident parcels that nobody uses and nobody keeps. `worth` must be the same at both calls.
  void offer(int32_t parcel, const Worth& worth) { candidates_.emplace(worth, parcel); }
  bool withdraw(int32_t parcel, const Worth& worth) { return candidates_.erase({worth, parcel}) == 1; }
  bool offers(int32_t parcel, const Worth& worth) const { return candidates_.contains({worth, parcel}); }
  size_t candidates() const { return candidates_.size(); }

  // The candidate of least worth, or -1; with `spare`, none that is foreseen.
  int32_t victim(bool spare) const {
    if (candidates_.empty()) return -1;
    const auto& [worth, parcel] = *candidates_.begin();
    return spare && worth.score == kForeseen ? -1 : parcel;
  }

 private:
  std::set<std::pair<Worth, int32_t>> candidates_;
};

}  // namespace ostinato::memory
