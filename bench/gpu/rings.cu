// Round trip between the host and a running kernel through pinned memory: the host writes a command, the
// kernel answers with the same number. What a persistent kernel pays to be told something, and to hand out a
// token.
#include <chrono>

#include "common.cuh"

namespace {

constexpr int kTrips = 2000;

struct Mailbox {
  volatile int command, answer;
};

__global__ void echo(Mailbox* box, int last) {
  int seen = 0;
  while (seen != last) {
    const int command = box->command;
    if (command == seen) continue;
    seen = command;
    __threadfence_system();
    box->answer = seen;
  }
}

}  // namespace

int main() {
  Mailbox* box;
  CHECK(cudaHostAlloc(&box, sizeof(Mailbox), cudaHostAllocMapped));
  box->command = 0;
  box->answer = 0;
  echo<<<1, 1>>>(box, kTrips);
  CHECK(cudaGetLastError());
  std::vector<double> times;
  for (int trip = 1; trip <= kTrips; ++trip) {
    const auto begin = std::chrono::steady_clock::now();
    box->command = trip;
    long polls = 0;
    while (box->answer != trip) {
      if (++polls > 2'000'000'000L) std::exit(1);  // the card is gone; do not wait for ever
    }
    times.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count());
  }
  CHECK(cudaDeviceSynchronize());
  bench::report("pinned ring, host to kernel and back", bench::median(times), "us");
  std::sort(times.begin(), times.end());
  bench::report("pinned ring, 99th percentile", times[times.size() * 99 / 100], "us");
  CHECK(cudaFreeHost(box));
}
