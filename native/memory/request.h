// What one thread wants of a store at a time, and the pins that it holds.
//
//   Request request(store);
//   request.want(parcels);                                  // reading begins
//   for (auto some = request.take(); !some.empty(); some = request.take()) {
//     for (const Arrival& arrival : some) {                 // in the order in which they arrive
//       if (!arrival.error.empty()) ...                     // this parcel only; it may be wanted again
//       compute(store.data(arrival.parcel, 0), ...);
//       request.release(arrival.parcel);                    // soon: where slots are few, others wait for it
//     }
//   }
//
// More may be wanted than there are slots for, as long as whoever waits for more releases what it has
// computed with.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "memory/store.h"

namespace ostinato::memory {

struct Arrival {
  int32_t parcel;
  std::string error;  // "": it is resident, and pinned until it is released
};

class Request {
 public:
  explicit Request(Store& store) : store_(store) {}
  ~Request() { clear(); }
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  // One step of the trace. Distinct parcels, none of which this request waits for or holds; `rows` that want
  // each of them (all above 0), or none: one each. `age`: Policy::pass.
  void want(std::span<const int32_t> parcels, std::span<const double> rows = {}, double age = 0);

  // All that has arrived and was not yet handed out: at least one, for which it waits; none when nothing is
  // missing.
  std::vector<Arrival> take();
  std::vector<Arrival> poll();   // likewise without waiting
  Arrival wait(int32_t parcel);  // this one
  void release(int32_t parcel);
  bool holds(int32_t parcel) const;  // handed out and not released
  void clear();                      // wants nothing any more, and holds nothing

 private:
  friend class Store;
  template <class Ready>
  void stall(std::unique_lock<std::mutex>& lock, Ready ready);
  void arrive(int32_t parcel, std::string error);
  std::vector<Arrival> hand_out_all();

  Store& store_;
  std::condition_variable wake_;
  std::vector<int32_t> missing_;  // wanted, not arrived
  std::vector<Arrival> arrived_;  // not handed out; pinned where there is no error
  std::vector<int32_t> held_;     // handed out and pinned
};

}  // namespace ostinato::memory
