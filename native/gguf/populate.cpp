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
// Linux reads no more than this ahead at one request, unless a disk was set to more.
constexpr size_t kRequest = size_t{128} << 10;

#if defined(__linux__)
constexpr int kPopulateRead = 22;  // MADV_POPULATE_READ, Linux 5.14; older headers lack it

// Told by its first page: to ask for all of a file's takes as long as half their faults.
bool in_memory(uint8_t* piece) {
  unsigned char page = 0;
  return mincore(piece, 1, &page) == 0 && (page & 1);
}

// A file that shrank meanwhile is an error here, where a read would be SIGBUS.
bool read_in(uint8_t* at, size_t bytes) { return in_memory(at) || madvise(at, bytes, kPopulateRead) == 0; }

// Just these bytes, and nobody waits for them.
void ask_for(uint8_t* at, size_t bytes) { madvise(at, bytes, MADV_WILLNEED); }
#else
bool read_in(uint8_t*, size_t) { return false; }
void ask_for(uint8_t*, size_t) {}
#endif

// Calls `piece`(address, bytes) for all of the runs in order, until it says false.
template <class Piece>
void for_pieces(const std::vector<std::span<const uint8_t>>& runs, size_t most, Piece piece) {
  for (const std::span<const uint8_t> run : runs) {
    for (size_t at = 0; at < run.size(); at += most) {
      if (!piece(const_cast<uint8_t*>(run.data()) + at, std::min(most, run.size() - at))) return;
    }
  }
}

}  // namespace

Population::Population(std::vector<std::span<const uint8_t>> runs, bool sparse)
    : thread_([this, runs = std::move(runs), sparse] {
        if (sparse) {
          for_pieces(runs, kRequest, [this](uint8_t* at, size_t bytes) {
            ask_for(at, bytes);
            return !stop_.load(std::memory_order_relaxed);
          });
        }
        bool whole = true;
        for_pieces(runs, kPiece, [this, &whole](uint8_t* at, size_t bytes) {
          whole = !stop_.load(std::memory_order_relaxed) && read_in(at, bytes);
          return whole;
        });
        whole_ = whole;
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
