// Threads that want, hint, release, resize, give up and fail at once, over a source in memory: for
// ThreadSanitizer. Prints "ok" where every byte was right and every invariant held.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <random>
#include <thread>

#include "memory/request.h"
#include "tests/expect.h"

using namespace ostinato::memory;

namespace {

constexpr int32_t kParcels = 48, kLayers = 4, kSlots = 14, kRounds = 120;
constexpr int64_t kBlocks = 3, kBlock = 4096;

uint8_t byte_at(int64_t offset) { return static_cast<uint8_t>(offset * 2654435761u >> 13); }

// Byte i is byte_at(i). Every so often a read fails.
class Made final : public Source {
 public:
  int64_t size() const override { return kParcels * kBlocks * kBlock - 77; }
  int64_t block() const override { return kBlock; }
  void read(int64_t offset, uint8_t* to, int64_t bytes) override {
    if (++reads_ % 61 == 0) throw ReadError("planted");
    for (int64_t i = 0; i < bytes; ++i) to[i] = byte_at(offset + i);
  }

 private:
  std::atomic<int> reads_{0};
};

Catalogue catalogue() {
  Catalogue made;
  made.first.push_back(0);
  for (int32_t p = 0; p < kParcels; ++p) {
    const int64_t at = p * kBlocks * kBlock;
    made.extents.push_back({0, at + 5, kBlock});  // two blocks
    made.extents.push_back({0, at + 2 * kBlock, kBlock - 77});
    made.first.push_back(static_cast<int32_t>(made.extents.size()));
    made.layer.push_back(p * kLayers / kParcels);
    made.cache.push_back(p % 2);
  }
  return made;
}

std::vector<int32_t> drawn(std::mt19937& random, size_t count) {
  std::vector<int32_t> parcels;
  while (parcels.size() < count) {
    const auto parcel = static_cast<int32_t>(random() % kParcels);
    if (std::find(parcels.begin(), parcels.end(), parcel) == parcels.end()) parcels.push_back(parcel);
  }
  return parcels;
}

void check_bytes(const Store& store, int32_t parcel) {
  for (int32_t e = 0; e < 2; ++e) {
    const Extent& extent = store.catalogue().of(parcel)[e];
    const auto data = store.data(parcel, e);
    expect(static_cast<int64_t>(data.size()) == extent.bytes, "the extent's size");
    for (int64_t i = 0; i < extent.bytes; i += 7) expect(data[i] == byte_at(extent.offset + i), "a byte");
  }
}

void use(Store& store, unsigned seed) {
  std::mt19937 random(seed);
  Request request(store);
  for (int round = 0; round < kRounds; ++round) {
    store.hint(drawn(random, 3));
    request.want(drawn(random, 9));
    const bool gives_up = random() % 8 == 0;
    for (auto some = request.take(); !some.empty(); some = request.take()) {
      for (const Arrival& arrival : some) {
        if (!arrival.error.empty()) continue;
        check_bytes(store, arrival.parcel);
        request.release(arrival.parcel);
      }
      if (gives_up) break;
    }
    request.clear();
    if (round % 16 == 0) store.check_integrity();
  }
}

void stretch(Store& store, const std::atomic<bool>& over) {
  std::mt19937 random(99);
  while (!over) {
    const auto half = static_cast<int32_t>(random() % (kSlots / 2 - 1)) + 1;
    const int32_t quotas[] = {half, kSlots / 2};
    store.resize(0, half + kSlots / 2, quotas);
    (void)store.counters();
    (void)store.occupancy();
    std::this_thread::yield();
  }
}

}  // namespace

int main() {
  const Options options{kSlots * 3 * kBlock, false, {3, kBlock, 2 * kBlock}};
  Store store(catalogue(), {{std::make_shared<Made>(), nullptr}}, {{3 * kBlock, kSlots}},
              {{0, kSlots / 2}, {0, kSlots / 2}}, make_policy("lfru", kParcels, 8, {}), options);
  std::atomic<bool> over{false};
  std::thread stretching([&] { stretch(store, over); });
  std::vector<std::thread> threads;
  for (unsigned seed = 1; seed <= 3; ++seed) {
    threads.emplace_back([&, seed] { use(store, seed); });
  }
  for (std::thread& thread : threads) thread.join();
  over = true;
  stretching.join();
  store.check_integrity();
  std::mt19937 random(5);
  Request last(store);
  last.want(drawn(random, 20));  // in flight while the store is closed
  store.close();
  store.check_integrity();
  std::puts("ok");
}
