#include "gguf/populate.h"

#include <algorithm>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ostinato::gguf {
namespace {

// One call holds the lock of the address space: short enough that nobody who maps or unmaps memory waits
// long.
constexpr size_t kPiece = size_t{1} << 20;

#if defined(__linux__)
constexpr int kPopulateRead = 22;  // MADV_POPULATE_READ, Linux 5.14; older headers lack it

// Told by its first page: to ask for all of a file's takes as long as half their faults.
bool in_memory(uint8_t* piece) {
  unsigned char page = 0;
  return mincore(piece, 1, &page) == 0 && (page & 1);
}

// A file that shrank meanwhile is an error here, where a read would be SIGBUS.
bool bring_in(uint8_t* at, size_t bytes) { return in_memory(at) || madvise(at, bytes, kPopulateRead) == 0; }
#else
bool bring_in(uint8_t*, size_t) { return false; }
#endif

}  // namespace

Population::Population(std::vector<std::span<const uint8_t>> runs)
    : thread_([this, runs = std::move(runs)] {
        for (const std::span<const uint8_t> bytes : runs) {
          for (size_t at = 0; at < bytes.size(); at += kPiece) {
            if (stop_.load(std::memory_order_relaxed)) return;
            auto* const piece = const_cast<uint8_t*>(bytes.data()) + at;
            if (!bring_in(piece, std::min(kPiece, bytes.size() - at))) return;
          }
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
