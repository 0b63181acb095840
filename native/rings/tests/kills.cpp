// Kills a writer after every single store, one process per store, and looks at what it left.
//
// Every scenario runs in a forked child over one shared mapping; the child exits after its k-th store, for
// every k until it gets through. The parent then acts as the reader, and as the writer's successor. Build:
// c++ -std=c++20 -DOSTINATO_AFTER_STORE=after_store -I<generated> -Inative kills.cpp
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "rings/broadcast.h"
#include "rings/ring.h"
#include "rings/sequences.h"

namespace ostinato::rings {

namespace {
constexpr int kKilled = 42;
int stores_left = 0;  // 0: immortal
}  // namespace

void after_store() {
  if (stores_left > 0 && --stores_left == 0) _exit(kKilled);
}

namespace {

#define CHECK(condition)                                                                              \
  do {                                                                                                \
    if (!(condition)) {                                                                               \
      std::fprintf(stderr, "%s:%d: kill point %d: %s\n", __FILE__, __LINE__, kill_point, #condition); \
      std::exit(1);                                                                                   \
    }                                                                                                 \
  } while (0)

int kill_point = 0;

char* fresh_memory(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  return static_cast<char*>(memory);
}

// Runs `write` in a child that dies after its `kill_point`-th store. False when it got through.
bool killed(const std::function<void()>& write) {
  const pid_t child = fork();
  if (child == 0) {
    stores_left = kill_point;
    write();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == kKilled));
  return WEXITSTATUS(status) == kKilled;
}

// Calls `scenario` for kill points 1, 2, ... while it returns that the writer was killed; returns how many.
int for_every_store(const std::function<bool()>& scenario) {
  for (kill_point = 1; scenario(); ++kill_point) {
  }
  return kill_point - 1;
}

constexpr size_t kSlots = 8, kWords = 5;

std::vector<int32_t> records(int first, int count) {
  std::vector<int32_t> out;
  for (int record = first; record < first + count; ++record) {
    for (size_t word = 0; word < kWords; ++word) out.push_back(record * 100 + static_cast<int32_t>(word));
  }
  return out;
}

std::vector<int32_t> pop_all(Ring& ring) {
  std::vector<int32_t> out(kSlots * kWords);
  out.resize(static_cast<size_t>(ring.pop(out.data(), kSlots)) * kWords);
  return out;
}

// The push wraps around the end. The successor pushes the same again: nothing torn, nothing lost.
bool ring_push() {
  char* memory = fresh_memory(Ring::bytes(kSlots, kWords));
  Ring ring(memory, kSlots, kWords);
  ring.push(records(0, 6).data(), 6);
  std::vector<int32_t> out(4 * kWords);
  ring.pop(out.data(), 4);
  const bool died = killed([&] { ring.push(records(6, 4).data(), 4); });
  const int64_t waiting = ring.size();
  CHECK(waiting == 2 || waiting == 6);
  Ring successor(memory, kSlots, kWords);
  if (waiting == 2) successor.push(records(6, 4).data(), 4);
  CHECK(pop_all(ring) == records(4, 6));
  return died;
}

bool ring_pop() {
  char* memory = fresh_memory(Ring::bytes(kSlots, kWords));
  Ring ring(memory, kSlots, kWords);
  ring.push(records(0, 3).data(), 3);
  const bool died = killed([&] { pop_all(ring); });
  const std::vector<int32_t> left = pop_all(ring);
  CHECK(left.empty() || left == records(0, 3));
  return died;
}

bool same(const CommittedSlot& a, const CommittedSlot& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

CommittedSlot slot(int length, int computed, int finish, int blocks0, int blocks1) {
  CommittedSlot out{};
  out.length = length;
  out.computed = computed;
  out.finish = finish;
  out.blocks0 = blocks0;
  out.blocks1 = blocks1;
  return out;
}

bool sequence_commit() {
  const SequenceLayout layout{3, 20, 2, 5};
  char* memory = fresh_memory(static_cast<size_t>(layout.words()) * sizeof(int32_t));
  SequenceTable table(reinterpret_cast<int32_t*>(memory), layout);
  const CommittedSlot old = slot(7, 6, 0, 2, 2);
  const CommittedSlot next = slot(9, 8, 2, 3, 1);
  const CommittedSlot third = slot(10, 10, 0, 4, 5);
  table.commit(1, old);
  const bool died = killed([&] { table.commit(1, next); });
  const CommittedSlot seen = table.committed(1);
  CHECK(same(seen, died ? seen : next));
  CHECK(same(seen, old) || same(seen, next));
  table.commit(1, third);
  CHECK(same(table.committed(1), third));
  CHECK(same(table.committed(0), CommittedSlot{}) && same(table.committed(2), CommittedSlot{}));
  return died;
}

// A reader that waits where the dying writer overwrites is told of a loss, or gets whole records.
bool broadcast_write() {
  char* memory = fresh_memory(Broadcast::bytes(kSlots, kWords));
  Broadcast writer(memory, kSlots, kWords);
  writer.write(records(0, kSlots).data(), kSlots);
  const bool died = killed([&] { writer.write(records(kSlots, 2).data(), 2); });
  const auto written = static_cast<int>(writer.head());
  CHECK(written >= static_cast<int>(kSlots) && written <= static_cast<int>(kSlots) + 2);
  Broadcast(memory, kSlots, kWords).write(records(written, 1).data(), 1);
  uint64_t position = 0;
  int next = 0;
  while (position < writer.head()) {
    std::vector<int32_t> out(kSlots * kWords);
    const Broadcast::Read read = writer.read(position, out.data(), kSlots);
    next += static_cast<int>(read.lost);
    out.resize(read.count * kWords);
    CHECK(out == records(next, static_cast<int>(read.count)));
    next += static_cast<int>(read.count);
  }
  CHECK(next == written + 1);
  return died;
}

}  // namespace
}  // namespace ostinato::rings

int main() {
  using namespace ostinato::rings;
  std::printf("{\"ring_push\": %d, ", for_every_store(ring_push));
  std::printf("\"ring_pop\": %d, ", for_every_store(ring_pop));
  std::printf("\"sequence_commit\": %d, ", for_every_store(sequence_commit));
  std::printf("\"broadcast_write\": %d}\n", for_every_store(broadcast_write));
}
