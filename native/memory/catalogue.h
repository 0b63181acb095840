// What a store can hold: parcels, each some extents of files that move together, and how a parcel lies in its
// slot.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace ostinato::memory {

struct Extent {
  int32_t file;
  int64_t offset, bytes;
};

// Parcel p is extents first[p] .. first[p + 1]. It belongs to a cache, which has slots that are large enough,
// and is counted under a layer.
struct Catalogue {
  std::vector<Extent> extents;
  std::vector<int32_t> first;       // [parcels + 1]
  std::vector<int32_t> cache;       // [parcels]
  std::vector<int32_t> layer;       // [parcels]
  std::vector<uint32_t> checksums;  // [parcels] CRC32C of a parcel's extents, in order; or none
  int32_t copies = 0;               // of the parcels, the last ones: others in fewer bits

  int32_t parcels() const { return static_cast<int32_t>(cache.size()); }
  bool copy(int32_t parcel) const { return parcel >= parcels() - copies; }
  std::span<const Extent> of(int32_t parcel) const {
    return std::span(extents).subspan(first[parcel], first[parcel + 1] - first[parcel]);
  }
};

// Throws std::invalid_argument, naming what is wrong, where the arrays do not fit one another or the files'
// sizes.
void check(const Catalogue& catalogue, std::span<const int64_t> sizes);

// An extent within its slot: whole blocks of the file from `offset` on lie at `start`, so the extent's own
// bytes begin `skip` further. Direct I/O reads it as it is.
struct Placed {
  int64_t offset, bytes;  // of the blocks, in the file
  int64_t start, skip;    // in the slot
};

// The extent whose blocks begin at `start` of the slot, which is a multiple of `block` (a power of two).
inline Placed place(const Extent& extent, int64_t start, int64_t block) {
  const int64_t from = extent.offset & -block, to = (extent.offset + extent.bytes + block - 1) & -block;
  return {from, to - from, start, extent.offset - from};
}

}  // namespace ostinato::memory
