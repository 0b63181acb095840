// Which parcel goes when a slot is needed: the one of least worth. A policy is a rule for that worth, and a
// parcel's worth changes only when it is wanted, so that candidates stay in a sorted set and a victim costs
// O(log n).
#pragma once
#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ostinato::memory {

// Compared by score; of equal ones, what was wanted longer ago goes first.
struct Worth {
  double score = 0;
  int64_t wanted = -1;  // the step in which the parcel was last wanted
  auto operator<=>(const Worth&) const = default;
};

class Policy {
 public:
  virtual ~Policy() = default;
  // The score of a parcel that nobody has wanted yet, and from step `now` on, in which it is wanted. Steps
  // (calls of want, of all layers and caches) are counted from 0.
  virtual double untouched(int32_t parcel) const = 0;
  // `rows` want it; those of a prompt fade from its end in the step towards its begin.
  virtual double touched(int32_t parcel, int64_t now, double rows) = 0;
  // All that was before is so many halvings older, beside those of steps: a prompt's many tokens pass in one.
  virtual void pass(double) {}
};

// A record of what was wanted: step s wanted parcels[first[s]] .. parcels[first[s + 1]].
struct Trace {
  std::vector<int64_t> first{0};
  std::vector<int32_t> parcels;

  int64_t steps() const { return static_cast<int64_t>(first.size()) - 1; }
};

// What went longest without being wanted goes.
class Lru final : public Policy {
 public:
  double untouched(int32_t) const override { return -1; }
  double touched(int32_t, int64_t now, double) override { return static_cast<double>(now); }
};

// What was wanted least often goes.
class Lfu final : public Policy {
 public:
  explicit Lfu(int32_t parcels) : counts_(parcels) {}
  double untouched(int32_t) const override { return 0; }
  double touched(int32_t parcel, int64_t, double) override { return static_cast<double>(++counts_[parcel]); }

 private:
  std::vector<int64_t> counts_;
};

// Frequency that fades (Lee and others, 2001, "LRFU"): each row counts 2^(-age / half_life). From 0 to
// infinity, the half-life leads from LRU to LFU. All sums fade alike, so their order changes only at a use:
// what is kept is log2(sum x 2^(now / half_life + passed)).
class Lfru final : public Policy {
 public:
  Lfru(int32_t parcels, double half_life);  // in steps
  double untouched(int32_t parcel) const override { return scores_[parcel]; }
  double touched(int32_t parcel, int64_t now, double rows) override;
  void pass(double halvings) override { passed_ += halvings; }

 private:
  const double half_life_;
  double passed_ = 0;  // halvings beside those of steps
  std::vector<double> scores_;
};

// What is wanted again latest, or never, goes (Belady): for replaying a trace, as the bound of what is
// possible.
class Oracle final : public Policy {
 public:
  Oracle(int32_t parcels, const Trace& trace);
  double untouched(int32_t parcel) const override { return next(parcel, -1); }
  double touched(int32_t parcel, int64_t now, double) override { return next(parcel, now); }

 private:
  double next(int32_t parcel, int64_t now) const;
  std::vector<std::vector<int64_t>> uses_;  // of each parcel, ascending
};

std::vector<std::string> policy_names();

// The policy of that name. Throws std::invalid_argument.
std::unique_ptr<Policy> make_policy(const std::string& name, int32_t parcels, double half_life,
                                    const Trace& trace);

}  // namespace ostinato::memory
