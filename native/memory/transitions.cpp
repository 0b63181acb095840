#include "memory/transitions.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

namespace ostinato::memory {

Transitions::Transitions(std::vector<int32_t> experts, double half_life)
    : experts_(std::move(experts)), decay_(static_cast<float>(std::exp2(-1.0 / half_life))) {
  const bool some = std::all_of(experts_.begin(), experts_.end(), [](int32_t n) { return n > 0; });
  if (experts_.empty() || !some || !(half_life > 0)) {
    throw std::invalid_argument("transitions lead from stacks of experts to others, and fade");
  }
  for (int32_t stack = 0; stack < stacks(); ++stack) {
    counts_.emplace_back(int64_t{experts_[stack]} * experts_[after(stack)]);
    uses_.emplace_back(experts_[stack]);
  }
}

void Transitions::observe(int32_t stack, std::span<const int32_t> ids, int32_t top_k) {
  check(stack, ids);
  if (top_k < 1 || ids.size() % top_k != 0) throw std::invalid_argument("every row wants as many experts");
  const size_t rows = ids.size() / top_k;
  if (last_ >= 0 && after(last_) == stack && ids_.size() == rows * width_) {
    for (size_t r = 0; r < rows; ++r) {
      learn(last_, std::span(ids_).subspan(r * width_, width_), ids.subspan(r * top_k, top_k));
    }
  }
  last_ = stack, width_ = top_k;
  ids_.assign(ids.begin(), ids.end());
}

void Transitions::learn(int32_t stack, std::span<const int32_t> from, std::span<const int32_t> to) {
  for (const int32_t expert : from) {
    float* const counts = row(stack, expert);
    for (int32_t next = 0; next < experts_[after(stack)]; ++next) counts[next] *= decay_;
    for (const int32_t next : to) counts[next] += 1;
    uses_[stack][expert] = uses_[stack][expert] * decay_ + 1;
  }
}

void Transitions::predict(int32_t stack, std::span<const int32_t> ids, int32_t count,
                          std::vector<int32_t>& out) {
  check(stack, ids);
  const int32_t next = experts_[after(stack)];
  scores_.assign(next, 0.0f);
  for (const int32_t expert : ids) {
    if (uses_[stack][expert] == 0) continue;
    const float* const counts = row(stack, expert);
    const float share = 1 / uses_[stack][expert];
    for (int32_t e = 0; e < next; ++e) scores_[e] += share * counts[e];
  }
  for (int32_t i = 0; i < count; ++i) {
    const auto best = std::max_element(scores_.begin(), scores_.end());
    if (*best <= 0) return;
    out.push_back(static_cast<int32_t>(best - scores_.begin()));
    *best = 0;
  }
}

void Transitions::check(int32_t stack, std::span<const int32_t> ids) const {
  if (stack < 0 || stack >= stacks()) throw std::invalid_argument("there is no such stack");
  const auto there = [&](int32_t id) { return id >= 0 && id < experts_[stack]; };
  if (!std::all_of(ids.begin(), ids.end(), there)) throw std::invalid_argument("there is no such expert");
}

}  // namespace ostinato::memory
