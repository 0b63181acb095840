// Misses that may be computed from a copy in fewer bits instead of being waited for: the one place that says
// when. Numbers then depend on what was in memory, so only who asks for it gets such a rule.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>

namespace ostinato::memory {

// An expert of the layer whose turn it is, with rows that want it.
struct Wanted {
  int32_t parcel, copy;             // of a store: it, and the same in fewer bits
  float share;                      // the largest part that it has of a row's router weights
  int64_t left = 0, copy_left = 0;  // bytes of both that are not yet read: 0 for what is resident
  int64_t under_way = 0;            // of the expert's, those that new reads wait for already
  bool coarse = false;              // what was decided: it is computed from the copy
};

// A read of n bytes takes latency + n / rate seconds once its turn has come: fitted at start. A miss is
// computed from the copy where it has less than `most_share` of every row and that saves `least_saving`
// seconds.
struct MissRule {
  double latency = 0, rate = 1, least_saving = 0;  // seconds, bytes a second, seconds
  float most_share = 0;                            // 0: never

  // Seconds until so many bytes are there, behind others that are read before them.
  double wait(int64_t ahead, int64_t bytes) const {
    return bytes == 0 ? 0 : latency + static_cast<double>(ahead + bytes) / rate;
  }
  bool coarse(const Wanted& expert, int64_t ahead) const {
    return expert.left > 0 && expert.share < most_share &&
           wait(ahead, expert.left) - wait(ahead, expert.copy_left) >= least_saving;
  }

  // Decides for all experts that a layer wants, in this order; each read that is chosen is ahead of the next.
  // `ahead`: bytes that a new read waits for, those of the experts under way among them.
  void decide(std::span<Wanted> experts, int64_t ahead) const {
    for (Wanted& expert : experts) {
      expert.coarse = coarse(expert, std::max<int64_t>(0, ahead - expert.under_way));
      ahead += expert.coarse ? expert.copy_left : expert.left - expert.under_way;
    }
  }
};

}  // namespace ostinato::memory
