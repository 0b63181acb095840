#include "tokenizer/strings.h"

#include <bit>
#include <string>

namespace ostinato::tokenizer {

static_assert(std::endian::native == std::endian::little, "GGUF's length prefixes are read as they lie");

Status Strings::load(const RawArray& array, std::string_view what) {
  const std::string name(what);
  const size_t bytes = array.bytes.size();
  if (bytes > UINT32_MAX) return failed(name + ": larger than 4 GiB");
  if (array.count > bytes / sizeof(uint64_t)) {
    return failed(name + ": " + std::to_string(array.count) + " strings cannot lie in " +
                  std::to_string(bytes) + " bytes");
  }
  blob_.assign(array.bytes.begin(), array.bytes.end());
  offsets_.reserve(array.count);
  size_t at = 0;
  for (uint64_t i = 0; i < array.count; ++i) {
    uint64_t length = 0;
    const bool has_prefix = bytes - at >= sizeof(length);
    if (has_prefix) std::memcpy(&length, blob_.data() + at, sizeof(length));
    if (!has_prefix || length > bytes - at - sizeof(length)) {
      return failed(name + ": string " + std::to_string(i) + " runs past the end of the array");
    }
    at += sizeof(length);
    offsets_.push_back(static_cast<uint32_t>(at));
    at += length;
  }
  return {};
}

}  // namespace ostinato::tokenizer
