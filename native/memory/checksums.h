// The checksums of parcels, from the files themselves: made once, verified whenever a parcel is read.
#pragma once
#include <cstdint>
#include <vector>

#include "memory/catalogue.h"
#include "memory/source.h"

namespace ostinato::memory {

// CRC32C of every parcel's extents in order, as read from the primary files. Throws ReadError.
std::vector<uint32_t> checksums_of(const Catalogue& catalogue, const std::vector<File>& files);

}  // namespace ostinato::memory
