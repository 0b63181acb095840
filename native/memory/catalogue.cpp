#include "memory/catalogue.h"

#include <string>

#include "memory/expect.h"

namespace ostinato::memory {
namespace {

constexpr int32_t kMostLayers = 1 << 20;

bool inside(const Extent& extent, std::span<const int64_t> sizes) {
  if (extent.file < 0 || extent.file >= static_cast<int64_t>(sizes.size())) return false;
  const int64_t size = sizes[extent.file];
  return extent.bytes > 0 && extent.bytes <= size && extent.offset >= 0 &&
         extent.offset <= size - extent.bytes;
}

}  // namespace

void check(const Catalogue& catalogue, std::span<const int64_t> sizes) {
  const size_t parcels = catalogue.cache.size();
  expect(catalogue.layer.size() == parcels && catalogue.first.size() == parcels + 1,
         "a parcel has extents, a cache and a layer");
  expect(catalogue.checksums.empty() || catalogue.checksums.size() == parcels,
         "checksums are for all parcels or for none");
  expect(catalogue.copies >= 0 && catalogue.copies <= catalogue.parcels(), "copies are parcels too");
  expect(catalogue.first.front() == 0 &&
             catalogue.first.back() == static_cast<int64_t>(catalogue.extents.size()),
         "the parcels' extents are not all extents");
  for (size_t p = 0; p < parcels; ++p) {
    expect(catalogue.first[p] < catalogue.first[p + 1], "parcel " + std::to_string(p) + " has no extent");
    expect(catalogue.layer[p] >= 0 && catalogue.layer[p] < kMostLayers, "layers are numbered from 0");
  }
  for (size_t p = 0; p < parcels; ++p) {
    for (const Extent& extent : catalogue.of(static_cast<int32_t>(p))) {
      expect(inside(extent, sizes), "an extent of parcel " + std::to_string(p) + " lies outside its file");
    }
  }
}

}  // namespace ostinato::memory
