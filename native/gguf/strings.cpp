// The scanner of string runs. Lengths are compared with what remains, so that no sum can wrap.
#include "gguf/strings.h"

namespace ostinato::gguf {
namespace {

constexpr uint64_t kPrefix = 8;

// Little-endian whatever the machine; compilers make one load of it.
uint64_t load_u64(const uint8_t* bytes) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value |= uint64_t{bytes[i]} << (8 * i);
  return value;
}

}  // namespace

StringRun skip_strings(std::span<const uint8_t> bytes, uint64_t offset, uint64_t count) {
  uint64_t walked = 0;
  for (; walked < count; ++walked) {
    const uint64_t remaining = bytes.size() - offset;
    if (remaining < kPrefix) break;
    const uint64_t length = load_u64(bytes.data() + offset);
    if (length > remaining - kPrefix) break;
    offset += kPrefix + length;
  }
  return {walked, offset};
}

}  // namespace ostinato::gguf
