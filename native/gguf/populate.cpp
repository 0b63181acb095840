#include "gguf/populate.h"

#include <algorithm>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ostinato::gguf {
namespace {

// One call holds the lock of the address space: short enough that nobody who maps or unmaps memory waits long.
constexpr size_t kPiece = size_t{4} << 20;

#if defined(__linux__)
constexpr int kPopulateRead = 22;  // MADV_POPULATE_READ, Linux 5.14; older headers lack it

// A file that shrank meanwhile is an error here, where a read would be SIGBUS.
bool populate(const uint8_t* at, size_t bytes) {
  return madvise(const_cast<uint8_t*>(at), bytes, kPopulateRead) == 0;
}
#else
bool populate(const uint8_t*, size_t) { return false; }
#endif

}  // namespace

Population::Population(std::span<const uint8_t> bytes)
    : thread_([this, bytes] {
        for (size_t at = 0; at < bytes.size(); at += kPiece) {
          if (stop_.load(std::memory_order_relaxed)) return;
          if (!populate(bytes.data() + at, std::min(kPiece, bytes.size() - at))) return;
        }
        whole_ = true;
      }) {}

Population::~Population() {
  stop_.store(true, std::memory_order_relaxed);
  if (thread_.joinable()) thread_.join();
}

bool Population::wait() {
  if (thread_.joinable()) thread_.join();
  return whole_;
}

}  // namespace ostinato::gguf
