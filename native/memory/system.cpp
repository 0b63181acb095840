#include "memory/system.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/stat.h>
#endif

#include <algorithm>
#include <cerrno>

namespace ostinato::memory {

int64_t page_bytes() {
  static const int64_t bytes = sysconf(_SC_PAGESIZE);
  return bytes;
}

int open_direct(const char* path) {
#if defined(O_DIRECT)
  return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_DIRECT);
#else
  const int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
#if defined(F_NOCACHE)
  if (descriptor >= 0) fcntl(descriptor, F_NOCACHE, 1);
#endif
  return descriptor;
#endif
}

int64_t direct_block([[maybe_unused]] int descriptor) {
#if defined(STATX_DIOALIGN)
  struct statx status{};
  if (statx(descriptor, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 &&
      (status.stx_mask & STATX_DIOALIGN) != 0) {
    return std::max<int64_t>(status.stx_dio_mem_align, status.stx_dio_offset_align);
  }
#endif
  return 0;
}

void advise_reading([[maybe_unused]] int descriptor, const uint8_t* mapping, int64_t offset, int64_t bytes) {
  if (mapping != nullptr) {
    const int64_t start = offset / page_bytes() * page_bytes();
    madvise(const_cast<uint8_t*>(mapping) + start, offset + bytes - start, MADV_WILLNEED);
    return;
  }
#if defined(POSIX_FADV_WILLNEED)
  posix_fadvise(descriptor, offset, bytes, POSIX_FADV_WILLNEED);
#endif
}

uint8_t* reserve(int64_t bytes) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#if defined(MAP_NORESERVE)
  flags |= MAP_NORESERVE;
#endif
  void* mapped = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* begin = static_cast<uint8_t*>(mapped);
  const auto address = reinterpret_cast<uintptr_t>(begin);
  const int64_t skip = static_cast<int64_t>((kHugePage - address % kHugePage) % kHugePage);
  if (skip > 0) munmap(begin, skip);
  if (skip < kHugePage) munmap(begin + skip + bytes, kHugePage - skip);
#if defined(MADV_HUGEPAGE)
  madvise(begin + skip, bytes, MADV_HUGEPAGE);
#endif
  return begin + skip;
}

void unreserve(uint8_t* memory, int64_t bytes) { munmap(memory, bytes); }

bool populate(uint8_t* memory, int64_t bytes, bool locked) {
  if (locked) return mlock(memory, bytes) == 0;  // populates too
#if defined(MADV_POPULATE_WRITE)
  int failed;
  do failed = madvise(memory, bytes, MADV_POPULATE_WRITE);
  while (failed != 0 && (errno == EINTR || errno == EAGAIN));
  if (failed == 0) return true;
  if (errno != EINVAL) return false;  // EINVAL: a kernel before 5.14
#endif
  for (int64_t at = 0; at < bytes; at += page_bytes()) static_cast<volatile uint8_t*>(memory)[at] = 0;
  return true;
}

void give_back(uint8_t* memory, int64_t bytes, bool locked) {
  if (locked) munlock(memory, bytes);
  madvise(memory, bytes, MADV_DONTNEED);
}

void forget(uint8_t* memory, int64_t bytes) {
  const auto address = reinterpret_cast<uintptr_t>(memory);
  const auto page = static_cast<uintptr_t>(page_bytes());
  const uintptr_t begin = (address + page - 1) / page * page, end = (address + bytes) / page * page;
  if (begin >= end) return;
  auto* pages = memory + (begin - address);
#if defined(MADV_REMOVE)
  if (madvise(pages, end - begin, MADV_REMOVE) == 0) return;  // of shared memory; private memory refuses
#endif
  madvise(pages, end - begin, MADV_DONTNEED);
}

}  // namespace ostinato::memory
