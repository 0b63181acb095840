// CRC32C (Castagnoli): what a parcel's bytes are checked with on request. x86 (SSE 4.2) and 64-bit ARM have
// an instruction for it (9.6 GB/s on a Zen 4, several times a disk), it finds every burst of up to 32 bits,
// and file systems, iSCSI and object stores name the same sums.
#pragma once
#include <cstdint>

namespace ostinato::memory {

// The sum of what `sum` is of (0: nothing), followed by data[0, bytes).
uint32_t crc32c(uint32_t sum, const uint8_t* data, int64_t bytes);

}  // namespace ostinato::memory
