// Threads that read. Jobs wait in two lines: demand goes before prefetch, and of prefetch only so many bytes
// are under way at once, so that a demand finds a thread. A job is read in chunks, by several threads at
// once.
//
// Threads and preadv rather than io_uring: within 5 % of one another on an NVMe disk (docs/log.md), and
// containers usually forbid io_uring.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "memory/source.h"
#include "ostinato/tables.h"

namespace ostinato::memory {

enum class Priority { kDemand, kPrefetch };

// Whole blocks of a file, to be put at an address.
struct Chunk {
  int32_t file;
  int64_t offset, bytes;
  uint8_t* to;
};

struct Job {
  std::vector<Chunk> chunks;
  Priority priority;
  // With a checksum: the bytes it is of, in order; and what they are, for whoever reads that they are others.
  std::optional<uint32_t> checksum;
  std::vector<std::pair<const uint8_t*, int64_t>> content;
  std::string label;
};

struct Outcome {
  Priority priority;  // as it was in the end
  int64_t bytes = 0, replica_bytes = 0;
  std::string error;  // "": all went well
};

class Reader {
 public:
  struct Options {
    int32_t threads = kReadThreads;
    int64_t chunk = kReadChunk;                      // bytes of a read at most
    int64_t prefetch_in_flight = kPrefetchInFlight;  // bytes of prefetch that are being read at once
  };
  using Done = std::function<void(int32_t id, const Outcome&)>;

  // `done` is called by the threads, with no lock held, once for each job that was neither cancelled nor
  // closed.
  Reader(std::vector<File> files, const Options& options, Done done);
  ~Reader();
  Reader(const Reader&) = delete;

  // One job of an id at a time.
  void submit(int32_t id, Job job);
  bool cancel(int32_t id);  // true: nothing of it was read, and it will not be
  void raise(int32_t id);   // a prefetch becomes a demand
  void close();             // ends the threads; what has not begun is dropped

  int64_t left(int32_t id) const;   // bytes of the job that are not yet read; 0 where there is none
  int64_t ahead() const;            // bytes that a new demand waits for: reads under way, and other demands
  int64_t ahead(int32_t id) const;  // of those, the job's

  int64_t block() const { return block_; }  // of all files, so that any extents fit into one slot
  const std::vector<File>& files() const { return files_; }
  int64_t chunk() const { return options_.chunk; }

 private:
  struct Active {
    Job job;
    size_t next = 0;         // chunks handed out
    size_t open = 0;         // chunks being read
    int64_t left = 0;        // bytes not yet read
    int64_t open_bytes = 0;  // of those, being read
    Outcome outcome{};

    int64_t ahead() const { return job.priority == Priority::kDemand ? left : open_bytes; }
  };
  using Line = std::deque<int32_t>;

  void work();
  void wake(size_t chunks);
  int32_t pick();
  Line& line(Priority priority) { return lines_[static_cast<size_t>(priority)]; }
  void leave_line(int32_t id, const Active& active);
  bool read(const Chunk& chunk, Outcome& outcome) const;
  void verify(const Job& job, Outcome& outcome) const;

  const std::vector<File> files_;
  const Options options_;
  const Done done_;
  const int64_t block_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::unordered_map<int32_t, Active> active_;
  Line lines_[2];  // of each priority: jobs with chunks not yet handed out
  int64_t prefetch_in_flight_ = 0;
  bool closed_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace ostinato::memory
