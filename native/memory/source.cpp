#include "memory/source.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "memory/system.h"
#include "ostinato/tables.h"

namespace ostinato::memory {
namespace {

int64_t nanoseconds(const struct stat& status) {
#if defined(__APPLE__)
  const timespec& time = status.st_mtimespec;
#else
  const timespec& time = status.st_mtim;
#endif
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

Identity identify(const struct stat& status) {
  return {static_cast<uint64_t>(status.st_dev), static_cast<uint64_t>(status.st_ino), int64_t{status.st_size},
          nanoseconds(status)};
}

}  // namespace

std::vector<int64_t> sizes_of(const std::vector<File>& files) {
  std::vector<int64_t> sizes(files.size());
  std::transform(files.begin(), files.end(), sizes.begin(), [](const File& f) { return f.primary->size(); });
  return sizes;
}

int64_t block_of(const std::vector<File>& files) {
  int64_t block = 1;
  for (const auto& [primary, replica] : files) {
    block = std::max({block, primary->block(), replica != nullptr ? replica->block() : 1});
  }
  return block;
}

FileSource::FileSource(std::string path, Mode mode) : path_(std::move(path)), mode_(mode) {
  descriptor_ = mode == Mode::kDirect ? open_direct(path_.c_str())
                                      : ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) {
    const bool refused = mode == Mode::kDirect && errno == EINVAL;
    fail(refused ? "its file system has no direct I/O; read it through the page cache"
                 : std::strerror(errno));
  }
  struct stat status;
  try {
    if (fstat(descriptor_, &status) != 0) fail(std::strerror(errno));
    if (!S_ISREG(status.st_mode) || status.st_size == 0) fail("not a file with something in it");
    identity_ = identify(status);
    block_ = std::max<int64_t>(kReadBlock, mode == Mode::kDirect ? direct_block(descriptor_) : 0);
    if (mode != Mode::kMapped) return;
    void* mapping = mmap(nullptr, identity_.size, PROT_READ, MAP_SHARED, descriptor_, 0);
    if (mapping == MAP_FAILED) fail(std::strerror(errno));
    mapping_ = static_cast<const uint8_t*>(mapping);
  } catch (...) {
    release();
    throw;
  }
}

FileSource::~FileSource() { release(); }

void FileSource::release() {
  if (mapping_ != nullptr) munmap(const_cast<uint8_t*>(mapping_), identity_.size);
  ::close(descriptor_);
}

void FileSource::fail(const std::string& reason) const { throw ReadError(path_ + ": " + reason); }

void FileSource::read(int64_t offset, uint8_t* to, int64_t bytes) {
  if (mode_ == Mode::kMapped) check_unchanged();  // else the copy would fault behind a new end
  const int64_t end = std::min(offset + bytes, identity_.size);
  for (int64_t at = offset; at < end;) {
    const int64_t got = transfer(at, to + (at - offset), bytes - (at - offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      fail("reading " + std::to_string(bytes) + " bytes at " + std::to_string(offset) + ": " +
           std::strerror(errno));
    }
    // A short read ends at the file's end, or, without a reason, within a block that direct I/O must read
    // again.
    const int64_t next = at + got >= end ? end : (at + got) / block_ * block_;
    if (next <= at) {
      check_unchanged();
      fail("ends at " + std::to_string(at + got) + " bytes, before the " + std::to_string(identity_.size) +
           " it had");
    }
    at = next;
  }
  check_unchanged();
}

int64_t FileSource::transfer(int64_t offset, uint8_t* to, int64_t bytes) const {
  if (mode_ == Mode::kDirect) return pread(descriptor_, to, bytes, offset);
  advise_reading(descriptor_, mapping_, offset, std::min(bytes, identity_.size - offset));
  if (mode_ == Mode::kCached) return pread(descriptor_, to, bytes, offset);
  const int64_t count = std::min(bytes, identity_.size - offset);
  std::memcpy(to, mapping_ + offset, count);
  return count;
}

// Called after the data was read, so that no byte of a changed file is handed out.
void FileSource::check_unchanged() const {
  struct stat status;
  if (fstat(descriptor_, &status) != 0) fail(std::strerror(errno));
  if (status.st_size < identity_.size) {
    fail("was truncated from " + std::to_string(identity_.size) + " to " + std::to_string(status.st_size) +
         " bytes while it was in use");
  }
  if (identify(status) != identity_) fail("was changed while it was in use; replace model files by renaming");
}

}  // namespace ostinato::memory
