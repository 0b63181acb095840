#include "memory/policy.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace ostinato::memory {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

using Made = std::unique_ptr<Policy>;

struct NamedPolicy {
  const char* name;
  Made (*make)(int32_t parcels, double half_life, const Trace& trace);
};

constexpr NamedPolicy kPolicies[] = {
    {"lru", [](int32_t, double, const Trace&) -> Made { return std::make_unique<Lru>(); }},
    {"lfu", [](int32_t parcels, double, const Trace&) -> Made { return std::make_unique<Lfu>(parcels); }},
    {"lfru",
     [](int32_t parcels, double half_life, const Trace&) -> Made {
       return std::make_unique<Lfru>(parcels, half_life);
     }},
    {"oracle",
     [](int32_t parcels, double, const Trace& trace) -> Made {
       return std::make_unique<Oracle>(parcels, trace);
     }},
};

}  // namespace

Lfru::Lfru(int32_t parcels, double half_life) : half_life_(half_life), scores_(parcels, kNever) {
  if (!(half_life > 0) || !std::isfinite(half_life))
    throw std::invalid_argument("a half-life is a number above 0");
}

double Lfru::touched(int32_t parcel, int64_t now, double rows) {
  double& score = scores_[parcel];
  const double fresh =
      static_cast<double>(now) / half_life_ + passed_ + std::log2(rows);  // log2 of what they count
  score = std::max(score, fresh) + std::log2(1 + std::exp2(-std::abs(score - fresh)));
  return score;
}

Oracle::Oracle(int32_t parcels, const Trace& trace) : uses_(parcels) {
  for (int64_t step = 0; step < trace.steps(); ++step) {
    for (int64_t i = trace.first[step]; i < trace.first[step + 1]; ++i)
      uses_[trace.parcels[i]].push_back(step);
  }
}

double Oracle::next(int32_t parcel, int64_t now) const {
  const std::vector<int64_t>& uses = uses_[parcel];
  const auto after = std::upper_bound(uses.begin(), uses.end(), now);
  return after == uses.end() ? kNever : -static_cast<double>(*after);
}

std::vector<std::string> policy_names() {
  std::vector<std::string> names;
  for (const auto& [name, make] : kPolicies) names.emplace_back(name);
  return names;
}

std::unique_ptr<Policy> make_policy(const std::string& name, int32_t parcels, double half_life,
                                    const Trace& trace) {
  std::string known;
  for (const auto& [own, make] : kPolicies) {
    if (name == own) return make(parcels, half_life, trace);
    known += (known.empty() ? "" : ", ") + std::string(own);
  }
  throw std::invalid_argument("unknown policy '" + name + "'; expected one of " + known);
}

}  // namespace ostinato::memory
