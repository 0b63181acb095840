#include "memory/request.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

namespace ostinato::memory {
namespace {

bool drop(std::vector<int32_t>& from, int32_t parcel) {
  const auto found = std::find(from.begin(), from.end(), parcel);
  if (found == from.end()) return false;
  *found = from.back();
  from.pop_back();
  return true;
}

}  // namespace

void Request::want(std::span<const int32_t> parcels, std::span<const double> rows, double age) {
  const bool counted = rows.empty() || rows.size() == parcels.size();
  if (!counted || !std::all_of(rows.begin(), rows.end(), [](double n) { return n > 0; }) || !(age >= 0)) {
    throw std::invalid_argument("every parcel is wanted by some rows, and the past has an age");
  }
  const std::lock_guard lock(store_.mutex_);
  std::vector<int32_t> all(parcels.begin(), parcels.end());
  all.insert(all.end(), missing_.begin(), missing_.end());
  all.insert(all.end(), held_.begin(), held_.end());
  for (const Arrival& arrival : arrived_) all.push_back(arrival.parcel);
  std::sort(all.begin(), all.end());
  if (std::adjacent_find(all.begin(), all.end()) != all.end()) {
    throw std::invalid_argument("a parcel is wanted twice");
  }
  store_.want(*this, parcels, rows, age);
}

std::vector<Arrival> Request::poll() {
  const std::lock_guard lock(store_.mutex_);
  return hand_out_all();
}

std::vector<Arrival> Request::take() {
  std::unique_lock lock(store_.mutex_);
  stall(lock, [&] { return !arrived_.empty() || missing_.empty(); });
  return hand_out_all();
}

Arrival Request::wait(int32_t parcel) {
  std::unique_lock lock(store_.mutex_);
  const auto at = [&] {
    return std::find_if(arrived_.begin(), arrived_.end(),
                        [&](const Arrival& a) { return a.parcel == parcel; });
  };
  if (at() == arrived_.end() && std::find(missing_.begin(), missing_.end(), parcel) == missing_.end()) {
    throw std::invalid_argument("parcel " + std::to_string(parcel) + " is not wanted");
  }
  stall(lock, [&] { return at() != arrived_.end(); });
  Arrival arrival = std::move(*at());
  arrived_.erase(at());
  if (arrival.error.empty()) held_.push_back(parcel);
  return arrival;
}

bool Request::holds(int32_t parcel) const {
  const std::lock_guard lock(store_.mutex_);
  return std::find(held_.begin(), held_.end(), parcel) != held_.end();
}

void Request::release(int32_t parcel) {
  const std::lock_guard lock(store_.mutex_);
  if (!drop(held_, parcel)) throw std::invalid_argument("parcel " + std::to_string(parcel) + " is not held");
  store_.unpin(parcel);
}

void Request::clear() {
  const std::lock_guard lock(store_.mutex_);
  for (const int32_t parcel : std::exchange(missing_, {})) store_.forget(*this, parcel);
  for (const Arrival& arrival : std::exchange(arrived_, {})) {
    if (arrival.error.empty()) store_.unpin(arrival.parcel);
  }
  for (const int32_t parcel : std::exchange(held_, {})) store_.unpin(parcel);
}

// Waits; the time is counted under the layer of what came in the end.
template <class Ready>
void Request::stall(std::unique_lock<std::mutex>& lock, Ready ready) {
  if (ready()) return;
  const auto begin = std::chrono::steady_clock::now();
  wake_.wait(lock, ready);
  const auto waited = std::chrono::steady_clock::now() - begin;
  store_.count(Counter::kStall, arrived_.back().parcel) +=
      std::chrono::duration_cast<std::chrono::nanoseconds>(waited).count();
}

// By the store, which has pinned it where there is no error.
void Request::arrive(int32_t parcel, std::string error) {
  drop(missing_, parcel);
  arrived_.push_back({parcel, std::move(error)});
  wake_.notify_all();
}

std::vector<Arrival> Request::hand_out_all() {
  std::vector<Arrival> all = std::exchange(arrived_, {});
  for (const Arrival& arrival : all) {
    if (arrival.error.empty()) held_.push_back(arrival.parcel);
  }
  return all;
}

}  // namespace ostinato::memory
