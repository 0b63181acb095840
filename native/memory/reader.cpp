#include "memory/reader.h"

#include <algorithm>
#include <stdexcept>

#include "memory/checksum.h"

namespace ostinato::memory {
namespace {

// Never empty, which would mean that all went well.
std::string reason(const std::exception& error) {
  const std::string what = error.what();
  return what.empty() ? "the read failed" : what;
}

}  // namespace

Reader::Reader(std::vector<File> files, const Options& options, Done done)
    : files_(std::move(files)), options_(options), done_(std::move(done)), block_(block_of(files_)) {
  if (options_.threads < 1 || options_.chunk < 1)
    throw std::invalid_argument("a reader has threads and chunks");
  if (options_.chunk % block_ != 0) throw std::invalid_argument("chunks must hold whole blocks");
  for (const auto& [primary, replica] : files_) {
    if (replica != nullptr && replica->size() != primary->size()) {
      throw std::invalid_argument("the replica has " + std::to_string(replica->size()) +
                                  " bytes, the file it is of " + std::to_string(primary->size()));
    }
  }
  for (int32_t i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { work(); });
}

Reader::~Reader() { close(); }

void Reader::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Reader::submit(int32_t id, Job job) {
  const size_t chunks = job.chunks.size();
  {
    const std::lock_guard lock(mutex_);
    line(job.priority).push_back(id);
    Active active{std::move(job)};
    for (const Chunk& chunk : active.job.chunks) active.left += chunk.bytes;
    active_.emplace(id, std::move(active));
  }
  wake(chunks);
}

// No more threads than there is work for: each that wakes takes its core from whoever computes there.
void Reader::wake(size_t chunks) {
  for (size_t i = 0; i < std::min<size_t>(chunks, options_.threads); ++i) wake_.notify_one();
}

bool Reader::cancel(int32_t id) {
  const std::lock_guard lock(mutex_);
  const auto found = active_.find(id);
  if (found == active_.end() || found->second.next > 0) return false;
  leave_line(id, found->second);
  active_.erase(found);
  return true;
}

void Reader::raise(int32_t id) {
  size_t waiting = 0;  // chunks that no longer wait for room
  {
    const std::lock_guard lock(mutex_);
    const auto found = active_.find(id);
    if (found == active_.end() || found->second.job.priority == Priority::kDemand) return;
    Active& active = found->second;
    waiting = active.job.chunks.size() - active.next;
    if (waiting > 0) leave_line(id, active);
    active.job.priority = Priority::kDemand;
    if (waiting > 0) line(Priority::kDemand).push_back(id);
  }
  wake(waiting);
}

int64_t Reader::left(int32_t id) const {
  const std::lock_guard lock(mutex_);
  const auto found = active_.find(id);
  return found == active_.end() ? 0 : found->second.left;
}

int64_t Reader::ahead() const {
  const std::lock_guard lock(mutex_);
  int64_t bytes = 0;
  for (const auto& [id, active] : active_) bytes += active.ahead();
  return bytes;
}

int64_t Reader::ahead(int32_t id) const {
  const std::lock_guard lock(mutex_);
  const auto found = active_.find(id);
  return found == active_.end() ? 0 : found->second.ahead();
}

void Reader::leave_line(int32_t id, const Active& active) {
  Line& own = line(active.job.priority);
  own.erase(std::find(own.begin(), own.end(), id));
}

// The job whose next chunk is to be read now, or -1.
int32_t Reader::pick() {
  if (!line(Priority::kDemand).empty()) return line(Priority::kDemand).front();
  if (line(Priority::kPrefetch).empty()) return -1;
  const int32_t id = line(Priority::kPrefetch).front();
  const Active& active = active_.at(id);
  const int64_t bytes = active.job.chunks[active.next].bytes;
  const bool room = prefetch_in_flight_ == 0 || prefetch_in_flight_ + bytes <= options_.prefetch_in_flight;
  return room ? id : -1;
}

void Reader::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    int32_t id = -1;
    wake_.wait(lock, [&] { return closed_ || (id = pick()) >= 0; });
    if (closed_) return;
    Active& active = active_.at(id);  // stays where it is until its last chunk is done
    const Chunk chunk = active.job.chunks[active.next++];
    if (active.next == active.job.chunks.size()) leave_line(id, active);
    ++active.open;
    active.open_bytes += chunk.bytes;
    const int64_t prefetched = active.job.priority == Priority::kPrefetch ? chunk.bytes : 0;
    prefetch_in_flight_ += prefetched;
    lock.unlock();

    Outcome part;
    const bool good = read(chunk, part);

    lock.lock();
    prefetch_in_flight_ -= prefetched;
    active.left -= chunk.bytes;
    active.open_bytes -= chunk.bytes;
    active.outcome.bytes += part.bytes;
    active.outcome.replica_bytes += part.replica_bytes;
    if (!good && active.outcome.error.empty()) active.outcome.error = part.error;
    if (!good && active.next < active.job.chunks.size()) {  // the rest is of no use
      leave_line(id, active);
      active.next = active.job.chunks.size();
    }
    if (--active.open == 0 && active.next == active.job.chunks.size()) {
      Active last = std::move(active_.extract(id).mapped());
      lock.unlock();
      if (last.outcome.error.empty()) verify(last.job, last.outcome);
      last.outcome.priority = last.job.priority;
      done_(id, last.outcome);
      lock.lock();
    }
    if (prefetched > 0 && !line(Priority::kPrefetch).empty())
      wake_.notify_one();  // there is room for more of it
  }
}

// From the file, or else from its replica. False, and why, where neither can.
bool Reader::read(const Chunk& chunk, Outcome& outcome) const {
  const File& file = files_[chunk.file];
  try {
    file.primary->read(chunk.offset, chunk.to, chunk.bytes);
    outcome.bytes += chunk.bytes;
    return true;
  } catch (const std::exception& error) {
    outcome.error = reason(error);
  }
  if (file.replica == nullptr) return false;
  try {
    file.replica->read(chunk.offset, chunk.to, chunk.bytes);
    outcome.bytes += chunk.bytes;
    outcome.replica_bytes += chunk.bytes;
    return true;
  } catch (const std::exception& error) {
    outcome.error += "; its replica: " + reason(error);
  }
  return false;
}

// What does not have its checksum is read once more, from the replicas.
void Reader::verify(const Job& job, Outcome& outcome) const {
  if (!job.checksum.has_value()) return;
  const auto matches = [&] {
    uint32_t sum = 0;
    for (const auto& [data, bytes] : job.content) sum = crc32c(sum, data, bytes);
    return sum == *job.checksum;
  };
  if (matches()) return;
  const std::string file = files_[job.chunks.front().file].primary->name();
  const std::string mismatch = file + ": " + job.label + " does not have its checksum";
  outcome.error = mismatch;
  try {
    for (const Chunk& chunk : job.chunks) {
      Source* replica = files_[chunk.file].replica.get();
      if (replica == nullptr) return;
      replica->read(chunk.offset, chunk.to, chunk.bytes);
      outcome.bytes += chunk.bytes;
      outcome.replica_bytes += chunk.bytes;
    }
    outcome.error = matches() ? "" : mismatch + ", nor has the replica's";
  } catch (const std::exception& error) {
    outcome.error += "; its replica: " + reason(error);
  }
}

}  // namespace ostinato::memory
