// Ring, Broadcast and SequenceTable between threads over one mapping; built with -fsanitize=thread by the
// tests.
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "rings/broadcast.h"
#include "rings/ring.h"
#include "rings/sequences.h"

namespace {

using namespace ostinato;
using namespace ostinato::rings;

constexpr int kRecords = 50000;
constexpr size_t kSlots = 64, kWords = 7;

#define CHECK(condition)                                                   \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                        \
    }                                                                      \
  } while (0)

char* fresh_memory(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  return static_cast<char*>(memory);
}

void fill(std::vector<int32_t>& out, int first, size_t count) {
  out.resize(count * kWords);
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = (first + static_cast<int>(i / kWords)) * 31 + static_cast<int>(i % kWords);
}

// Batches of all sizes up to more than the ring holds; every record arrives once, in order, whole.
void ring_loses_nothing() {
  char* memory = fresh_memory(Ring::bytes(kSlots, kWords));
  std::thread producer([=] {
    Ring ring(memory, kSlots, kWords);
    std::vector<int32_t> batch;
    for (int next = 0; next < kRecords;) {
      fill(batch, next, std::min<size_t>(1 + next % 97, kRecords - next));
      const int64_t pushed = ring.push(batch.data(), batch.size() / kWords);
      CHECK(pushed != Ring::kCorrupt);
      next += static_cast<int>(pushed);
      if (pushed == 0) std::this_thread::yield();
    }
  });
  Ring ring(memory, kSlots, kWords);
  std::vector<int32_t> got(kSlots * kWords), expected;
  for (int next = 0; next < kRecords;) {
    const int64_t popped = ring.pop(got.data(), 1 + next % kSlots);
    CHECK(popped != Ring::kCorrupt);
    fill(expected, next, static_cast<size_t>(popped));
    CHECK(std::equal(expected.begin(), expected.end(), got.begin()));
    next += static_cast<int>(popped);
    if (popped == 0) std::this_thread::yield();
  }
  producer.join();
  CHECK(ring.size() == 0);
}

// What readers get is whole and in order; what they got and what they lost add up to everything.
void broadcast_counts_losses() {
  char* memory = fresh_memory(Broadcast::bytes(kSlots, kWords));
  auto reader = [=](size_t batch) {
    Broadcast broadcast(memory, kSlots, kWords);
    std::vector<int32_t> got(batch * kWords), expected;
    uint64_t position = 0;
    int next = 0;
    while (next < kRecords) {
      const Broadcast::Read read = broadcast.read(position, got.data(), batch);
      next += static_cast<int>(read.lost);
      fill(expected, next, read.count);
      CHECK(std::equal(expected.begin(), expected.end(), got.begin()));
      next += static_cast<int>(read.count);
      CHECK(position == static_cast<uint64_t>(next));
      if (read.count == 0) std::this_thread::yield();
    }
  };
  std::thread slow(reader, 1), fast(reader, kSlots);
  Broadcast broadcast(memory, kSlots, kWords);
  std::vector<int32_t> batch;
  for (int next = 0; next < kRecords; ++next) {
    fill(batch, next, 1);
    broadcast.write(batch.data(), 1);
    if (next % 50 == 0) std::this_thread::yield();
  }
  slow.join();
  fast.join();
}

// A reader sees whole committed states, never older ones after newer ones, and the tokens they speak of.
void commits_are_whole() {
  const SequenceLayout layout{2, kRecords, 2, 4};
  char* memory = fresh_memory(static_cast<size_t>(layout.words()) * sizeof(int32_t));
  auto* words = reinterpret_cast<int32_t*>(memory);
  std::thread writer([=] {
    SequenceTable table(words, layout);
    int32_t* tokens = table.words(1) + SequenceLayout::tokens();
    for (int i = 1; i <= kRecords; ++i) {
      tokens[i - 1] = 3 * i;
      CommittedSlot slot{};
      slot.length = slot.computed = slot.blocks0 = slot.blocks7 = i;
      table.commit(1, slot);
    }
  });
  SequenceTable table(words, layout);
  const int32_t* tokens = table.words(1) + SequenceLayout::tokens();
  for (int last = 0; last < kRecords;) {
    const CommittedSlot slot = table.committed(1);
    CHECK(slot.length >= last && slot.computed == slot.length);
    CHECK(slot.blocks0 == slot.length && slot.blocks7 == slot.length);
    CHECK(slot.length == 0 || tokens[slot.length - 1] == 3 * slot.length);
    if (slot.length == last) std::this_thread::yield();
    last = slot.length;
  }
  writer.join();
}

}  // namespace

int main() {
  ring_loses_nothing();
  broadcast_counts_losses();
  commits_are_whole();
  std::puts("ok");
}
