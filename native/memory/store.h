// The weight store: parcels of model files in a bounded number of slots. Threads want parcels through a
// Request and get their addresses as they arrive, hints have parcels read ahead, a policy says what goes. One
// mutex, never held while a file is read or memory is populated.
//
// A parcel is absent, queued (wanted, no slot yet), reading, or resident. What is pinned never goes; what
// failed is absent again, and only those who wait for it hear of it. The bytes of all slots never exceed the
// budget.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "memory/cache.h"
#include "memory/catalogue.h"
#include "memory/counters.h"
#include "memory/misses.h"
#include "memory/policy.h"
#include "memory/pool.h"
#include "memory/reader.h"

namespace ostinato::memory {

class Request;

struct PoolPlan {
  int64_t slot_bytes;  // a multiple of the system's page
  int32_t slots;       // at first
};

struct CachePlan {
  int32_t pool, quota;  // the quotas of a pool's caches are no more than its slots
};

struct Options {
  int64_t budget = 0;   // bytes of all slots
  bool locked = false;  // slots are locked into memory
  Reader::Options reader;
};

class Store {
 public:
  // Throws std::invalid_argument where the plan does not fit the catalogue, the files or the budget, and
  // NoMemory.
  Store(Catalogue catalogue, std::vector<File> files, const std::vector<PoolPlan>& pools,
        const std::vector<CachePlan>& caches, std::unique_ptr<Policy> policy, const Options& options);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Ends the threads and every wait, with an error, at once. Memory stays until the store goes.
  void close();

  // These parcels will soon be wanted. They are read when nothing is in demand, into slots that nobody uses;
  // a hint counts until its layer is next wanted from, and what has not begun by then is not read.
  void hint(std::span<const int32_t> parcels);

  // These parcels (and no others) never go once they are resident. Every cache keeps a slot for the others
  // that belong to it. Nothing is read: hint() does that.
  void keep(std::span<const int32_t> parcels);

  // The pool has so many slots from now on, shared by its caches as `quotas` say. What must go, goes by its
  // worth. False, and quotas and slots are as before, while too many parcels are in use: try again later.
  // Throws NoMemory, and then too they are as before.
  bool resize(int32_t pool, int32_t slots, std::span<const int32_t> quotas);
  bool set_budget(int64_t bytes);  // false where the slots take more

  // Which of these experts are computed from their copies, as things stand. Nothing is wanted by it.
  void decide(const MissRule& rule, std::span<Wanted> experts) const;

  // The bytes of an extent of a parcel, while the caller has it pinned.
  std::span<const uint8_t> data(int32_t parcel, int32_t extent) const;

  // What was wanted since the start or the last call, at most `limit` parcels; a step that has no more room
  // and those after it are left out and counted.
  void start_trace(int64_t limit);
  Trace take_trace(int64_t& left_out);

  enum class State : uint8_t { kAbsent, kQueued, kReading, kResident };
  struct Occupancy {
    int64_t slot_bytes, slots, used,
        payload;  // payload: bytes of parcels in the used slots; the rest is waste
  };
  std::vector<Counters> counters() const;
  std::vector<Occupancy> occupancy() const;
  std::vector<State> states() const;
  std::vector<int64_t> uses() const;  // of every parcel: how often it was wanted
  int64_t bytes() const;              // of all slots
  int64_t budget() const;
  const Catalogue& catalogue() const { return catalogue_; }

  // Throws std::logic_error naming the first invariant that does not hold.
  void check_integrity() const;

 private:
  friend class Request;

  struct Record {
    State state = State::kAbsent;
    bool kept = false;
    bool hinted = false;      // a hint for it counts
    bool prefetched = false;  // a hint had it read, and nobody has wanted it since
    int32_t slot = -1, pins = 0;
    int64_t uses = 0;               // how often it was wanted
    Worth worth;                    // by the policy
    std::vector<Request*> waiting;  // who wants it, while it is not resident
  };

  // All of these are called with the lock held.
  void want(Request& request, std::span<const int32_t> parcels, std::span<const double> rows, double age);
  std::string label(int32_t parcel) const;
  int64_t left(int32_t parcel) const;  // bytes of it that are not yet read
  void forget(Request& request, int32_t parcel);
  void unpin(int32_t parcel);
  void end_hints(int32_t layer);
  void foresee(int32_t parcel);
  void serve(Cache& cache);
  int32_t find_slot(Cache& cache, Priority priority);
  bool take_back_prefetch(const Cache& cache);
  void begin(int32_t parcel, int32_t slot, Priority priority);
  void vacate(int32_t parcel);
  void evict(int32_t parcel);
  void offer(int32_t parcel);
  void withdraw(int32_t parcel);
  bool make_room(int32_t pool, int32_t slots, std::span<const int32_t> quotas);
  void move(int32_t parcel, int32_t slot);
  void record_step(std::span<const int32_t> parcels);
  void check_parcels(std::span<const int32_t> parcels) const;

  void finish(int32_t parcel, const Outcome& outcome);  // takes the lock itself

  void place_extents();
  void check_plan(const std::vector<PoolPlan>& pools, const std::vector<CachePlan>& caches) const;
  void check_resize(int32_t pool, int32_t slots, std::span<const int32_t> quotas) const;
  void check_parcel_state(int32_t parcel) const;
  std::vector<int32_t> caches_of(int32_t pool) const;
  int64_t total_bytes() const;
  Job job(int32_t parcel, int32_t slot, Priority priority) const;
  static bool candidate(const Record& r) { return r.state == State::kResident && r.pins == 0 && !r.kept; }
  static Worth filed(const Record& r) { return r.hinted ? Worth{kForeseen, r.worth.wanted} : r.worth; }
  Cache& cache_of(int32_t parcel) { return caches_[catalogue_.cache[parcel]]; }
  Pool& pool_of(int32_t parcel) { return pools_[cache_of(parcel).pool]; }
  int64_t& count(Counter counter, int32_t parcel) {
    return counters_[catalogue_.layer[parcel]][static_cast<size_t>(counter)];
  }

  const Catalogue catalogue_;
  std::vector<Placed> placed_;       // of every extent
  std::vector<int64_t> payload_;     // bytes of every parcel
  std::vector<int32_t> population_;  // parcels of every cache
  std::vector<Pool> pools_;
  std::vector<Cache> caches_;
  const std::unique_ptr<Policy> policy_;

  std::mutex resizing_;  // one resize at a time; taken before the other
  mutable std::mutex mutex_;
  int64_t budget_;
  bool closed_ = false;
  int64_t clock_ = 0;  // steps
  std::vector<Record> records_;
  std::vector<std::vector<int32_t>> hints_;  // of every layer: parcels hinted since it was last wanted from
  std::vector<Counters> counters_;
  Trace trace_;
  int64_t trace_limit_ = 0, left_out_ = 0;

  Reader reader_;  // last: its threads end before what they use
};

}  // namespace ostinato::memory
