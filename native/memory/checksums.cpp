#include "memory/checksums.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

#include "memory/checksum.h"
#include "memory/system.h"

namespace ostinato::memory {
namespace {

constexpr int64_t kPortion = int64_t{4} << 20;

struct Freed {
  void operator()(uint8_t* memory) const { std::free(memory); }
};

uint32_t extended(uint32_t sum, const Extent& extent, Source& source, uint8_t* buffer) {
  const Placed placed = place(extent, 0, source.block());
  const int64_t end = extent.offset + extent.bytes;
  for (int64_t at = placed.offset; at < placed.offset + placed.bytes; at += kPortion) {
    const int64_t bytes = std::min(kPortion, placed.offset + placed.bytes - at);
    source.read(at, buffer, bytes);
    const int64_t from = std::max(at, extent.offset), to = std::min(at + bytes, end);
    sum = crc32c(sum, buffer + (from - at), to - from);
  }
  return sum;
}

}  // namespace

std::vector<uint32_t> checksums_of(const Catalogue& catalogue, const std::vector<File>& files) {
  check(catalogue, sizes_of(files));
  const std::unique_ptr<uint8_t, Freed> buffer(
      static_cast<uint8_t*>(std::aligned_alloc(kHugePage, kPortion)));
  if (buffer == nullptr) throw std::bad_alloc();
  std::vector<uint32_t> sums;
  for (int32_t parcel = 0; parcel < catalogue.parcels(); ++parcel) {
    uint32_t sum = 0;
    for (const Extent& extent : catalogue.of(parcel)) {
      sum = extended(sum, extent, *files[extent.file].primary, buffer.get());
    }
    sums.push_back(sum);
  }
  return sums;
}

}  // namespace ostinato::memory
