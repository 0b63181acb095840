#include "memory/store.h"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <utility>

#include "memory/request.h"

namespace ostinato::memory {

void Store::want(Request& request, std::span<const int32_t> parcels, std::span<const double> rows,
                 double age) {
  if (closed_) throw std::runtime_error("the store is closed");
  check_parcels(parcels);
  record_step(parcels);
  policy_->pass(age);
  std::vector<int32_t> absent;
  for (size_t i = 0; i < parcels.size(); ++i) {
    const int32_t parcel = parcels[i];
    Record& r = records_[parcel];
    const bool there = r.state == State::kResident, prefetched = std::exchange(r.prefetched, false);
    withdraw(parcel);
    count(Counter::kForeseen, parcel) += std::exchange(r.hinted, false);
    count(there ? Counter::kHits : Counter::kMisses, parcel) += 1;
    count(Counter::kCoarse, parcel) += catalogue_.copy(parcel);
    ++r.uses;
    count(there ? Counter::kUseful : Counter::kLate, parcel) += prefetched;
    r.worth = {policy_->touched(parcel, clock_, rows.empty() ? 1 : rows[i]), clock_};
    if (there) {
      ++r.pins;
      request.arrive(parcel, "");
    } else {
      request.missing_.push_back(parcel);
      r.waiting.push_back(&request);
      absent.push_back(parcel);
    }
  }
  ++clock_;
  for (const int32_t parcel : parcels) end_hints(catalogue_.layer[parcel]);
  for (const int32_t parcel : absent) {
    Record& r = records_[parcel];
    if (r.state == State::kReading) reader_.raise(parcel);
    if (r.state != State::kAbsent) continue;
    r.state = State::kQueued;
    cache_of(parcel).line.push_back(parcel);
    serve(cache_of(parcel));
  }
}

// The request no longer waits for it.
void Store::forget(Request& request, int32_t parcel) {
  Record& r = records_[parcel];
  std::erase(r.waiting, &request);
  if (!r.waiting.empty()) return;
  Cache& cache = cache_of(parcel);
  if (r.state == State::kQueued) {
    std::erase(cache.line, parcel);
    r.state = State::kAbsent;
  } else if (r.state == State::kReading && reader_.cancel(parcel)) {
    vacate(parcel);
    serve(cache);
  }
}

void Store::unpin(int32_t parcel) {
  --records_[parcel].pins;
  offer(parcel);
  serve(cache_of(parcel));
}

void Store::hint(std::span<const int32_t> parcels) {
  const std::lock_guard lock(mutex_);
  if (closed_) throw std::runtime_error("the store is closed");
  check_parcels(parcels);
  for (const int32_t parcel : parcels) foresee(parcel);
}

void Store::foresee(int32_t parcel) {
  Record& r = records_[parcel];
  count(Counter::kHinted, parcel) += 1;
  if (r.state == State::kAbsent) {
    Cache& cache = cache_of(parcel);
    const int32_t slot = cache.line.empty() ? find_slot(cache, Priority::kPrefetch) : -1;
    if (slot < 0) {
      count(Counter::kRefused, parcel) += 1;
    } else {
      r.prefetched = true;
      begin(parcel, slot, Priority::kPrefetch);
    }
  }
  if (r.hinted) return;
  withdraw(parcel);
  r.hinted = true;
  offer(parcel);
  hints_[catalogue_.layer[parcel]].push_back(parcel);
}

// The layer's turn has come: what was hinted and not wanted was a wrong guess.
void Store::end_hints(int32_t layer) {
  for (const int32_t parcel : std::exchange(hints_[layer], {})) {
    Record& r = records_[parcel];
    if (!r.hinted) continue;
    withdraw(parcel);
    r.hinted = false;
    offer(parcel);
    if (!std::exchange(r.prefetched, false)) continue;
    count(Counter::kWasted, parcel) += 1;
    if (r.state == State::kReading && reader_.cancel(parcel)) vacate(parcel);
  }
}

void Store::begin(int32_t parcel, int32_t slot, Priority priority) {
  records_[parcel].state = State::kReading;
  records_[parcel].slot = slot;
  reader_.submit(parcel, job(parcel, slot, priority));
}

Job Store::job(int32_t parcel, int32_t slot, Priority priority) const {
  Job job{{}, priority, {}, {}, {}};
  uint8_t* const base = pools_[caches_[catalogue_.cache[parcel]].pool].at(slot);
  for (int32_t e = catalogue_.first[parcel]; e < catalogue_.first[parcel + 1]; ++e) {
    const Extent& extent = catalogue_.extents[e];
    const Placed& placed = placed_[e];
    for (int64_t at = 0; at < placed.bytes; at += reader_.chunk()) {
      const int64_t bytes = std::min(reader_.chunk(), placed.bytes - at);
      job.chunks.push_back({extent.file, placed.offset + at, bytes, base + placed.start + at});
    }
    job.content.emplace_back(base + placed.start + placed.skip, extent.bytes);
  }
  if (catalogue_.checksums.empty()) return job;
  job.checksum = catalogue_.checksums[parcel];
  job.label = label(parcel) + " at byte " + std::to_string(catalogue_.of(parcel).front().offset);
  return job;
}

// For people: experts are the parcels of a layer, in order.
std::string Store::label(int32_t parcel) const {
  const std::vector<int32_t>& layers = catalogue_.layer;
  int32_t first = parcel, end = parcel + 1;
  while (first > 0 && layers[first - 1] == layers[parcel]) --first;
  while (end < catalogue_.parcels() && layers[end] == layers[parcel]) ++end;
  if (end - first == 1) return "parcel " + std::to_string(parcel);
  return "expert " + std::to_string(parcel - first) + " of layer " + std::to_string(layers[parcel]);
}

void Store::finish(int32_t parcel, const Outcome& outcome) {
  const std::lock_guard lock(mutex_);
  Record& r = records_[parcel];
  const bool demanded = outcome.priority == Priority::kDemand, failed = !outcome.error.empty();
  count(demanded ? Counter::kDemandBytes : Counter::kPrefetchBytes, parcel) += outcome.bytes;
  count(Counter::kReplicaBytes, parcel) += outcome.replica_bytes;
  count(Counter::kFailures, parcel) += failed;
  if (failed) {
    count(Counter::kWasted, parcel) += std::exchange(r.prefetched, false);
    vacate(parcel);
  } else {
    r.state = State::kResident;
  }
  for (Request* request : std::exchange(r.waiting, {})) {
    r.pins += !failed;
    request->arrive(parcel, outcome.error);
  }
  offer(parcel);
  serve(cache_of(parcel));
}

int64_t Store::left(int32_t parcel) const {
  const Record& r = records_[parcel];
  if (r.state == State::kResident) return 0;
  return r.state == State::kReading ? reader_.left(parcel) : payload_[parcel];
}

void Store::decide(const MissRule& rule, std::span<Wanted> experts) const {
  const std::lock_guard lock(mutex_);
  for (Wanted& expert : experts) {
    check_parcels(std::array{expert.parcel, expert.copy});
    expert.left = left(expert.parcel), expert.copy_left = left(expert.copy);
    expert.under_way = std::min(expert.left, reader_.ahead(expert.parcel));
  }
  rule.decide(experts, reader_.ahead());
}

void Store::close() {
  const std::lock_guard only(resizing_);
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    for (Cache& cache : caches_) {
      for (const int32_t parcel : std::exchange(cache.line, {})) records_[parcel].state = State::kAbsent;
    }
    for (int32_t parcel = 0; parcel < catalogue_.parcels(); ++parcel) {
      for (Request* request : std::exchange(records_[parcel].waiting, {})) {
        request->arrive(parcel, "the store was closed");
      }
    }
  }
  reader_.close();
  const std::lock_guard lock(mutex_);
  for (int32_t parcel = 0; parcel < catalogue_.parcels(); ++parcel) {
    if (records_[parcel].state == State::kReading) vacate(parcel);
  }
}

void Store::start_trace(int64_t limit) {
  const std::lock_guard lock(mutex_);
  trace_ = {}, trace_limit_ = limit, left_out_ = 0;
}

Trace Store::take_trace(int64_t& left_out) {
  const std::lock_guard lock(mutex_);
  left_out = std::exchange(left_out_, 0);
  return std::exchange(trace_, {});
}

void Store::record_step(std::span<const int32_t> parcels) {
  if (trace_limit_ == 0) return;
  if (left_out_ > 0 || static_cast<int64_t>(trace_.parcels.size() + parcels.size()) > trace_limit_) {
    ++left_out_;
    return;
  }
  trace_.parcels.insert(trace_.parcels.end(), parcels.begin(), parcels.end());
  trace_.first.push_back(static_cast<int64_t>(trace_.parcels.size()));
}

void Store::check_parcels(std::span<const int32_t> parcels) const {
  for (const int32_t parcel : parcels) {
    if (parcel < 0 || parcel >= catalogue_.parcels()) {
      throw std::invalid_argument("there is no parcel " + std::to_string(parcel));
    }
  }
}

}  // namespace ostinato::memory
