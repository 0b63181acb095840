// Walks a run of GGUF strings (a u64 length, then that many bytes, each) without reading past the end.
#pragma once
#include <cstdint>
#include <span>

namespace ostinato::gguf {

// Where the walk ended: `walked` strings were whole, and the next byte is at `offset`.
// `walked` below the count asked for means that the string at `offset` does not fit in the bytes.
struct StringRun {
  uint64_t walked;
  uint64_t offset;
};

// Skips `count` strings from `offset` (<= bytes.size()) on.
StringRun skip_strings(std::span<const uint8_t> bytes, uint64_t offset, uint64_t count);

}  // namespace ostinato::gguf
