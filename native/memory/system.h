// What differs between operating systems: direct I/O and advice about memory. Linux is meant; elsewhere the
// same calls do what there is.
#pragma once
#include <cstddef>
#include <cstdint>

namespace ostinato::memory {

constexpr int64_t kHugePage = int64_t{2} << 20;

int64_t page_bytes();  // what memory is given and taken back by

int open_direct(const char* path);     // a descriptor, or -1 and errno
int64_t direct_block(int descriptor);  // alignment that direct I/O on it asks for; 0 where nobody says

// Soon [offset, offset + bytes) will be read: through the descriptor, or from `mapping` where that is not
// null.
void advise_reading(int descriptor, const uint8_t* mapping, int64_t offset, int64_t bytes);

// Address space without memory, aligned to huge pages; nullptr where there is none.
uint8_t* reserve(int64_t bytes);
void unreserve(uint8_t* memory, int64_t bytes);

// Memory behind pages of reserved address space, all of it now; and back to the system. With `locked` it is
// never swapped out. False and errno where the system has no more to give.
bool populate(uint8_t* memory, int64_t bytes, bool locked);
void give_back(uint8_t* memory, int64_t bytes, bool locked);

// The whole pages among any bytes, of private or of shared memory without a file: they read as zeros from now
// on.
void forget(uint8_t* memory, int64_t bytes);

}  // namespace ostinato::memory
