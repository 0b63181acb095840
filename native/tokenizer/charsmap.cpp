#include "tokenizer/charsmap.h"

#include <cstring>

namespace ostinato::tokenizer {
namespace {

constexpr size_t kLongestSequence = 256;      // bytes that are compared at one place of a text
constexpr size_t kLongestReplacement = 1024;  // bytes; the longest of Unicode's NFKC has 33

// The fields of a unit.
uint32_t offset(uint32_t unit) { return (unit >> 10) << ((unit & 1u << 9) >> 6); }
uint32_t label(uint32_t unit) { return unit & (1u << 31 | 0xFF); }
bool has_value(uint32_t unit) { return unit >> 8 & 1; }
uint32_t value(uint32_t unit) { return unit & ~(1u << 31); }

Status bad(const std::string& what) { return failed("tokenizer.ggml.precompiled_charsmap " + what); }

}  // namespace

Status Charsmap::load(const RawArray& blob) {
  if (!blob.present || blob.bytes.empty()) return {};
  uint32_t size = 0;
  if (blob.bytes.size() < sizeof(size)) return bad("has no room for its header");
  std::memcpy(&size, blob.bytes.data(), sizeof(size));
  const std::string_view rest = blob.bytes.substr(sizeof(size));
  if (size >= rest.size() || size % sizeof(uint32_t) != 0) {
    return bad("says that its trie has " + std::to_string(size) + " bytes of " + std::to_string(rest.size()));
  }
  units_ = rest.substr(0, size);
  replacements_ = rest.substr(size);
  if (replacements_.back() != '\0') return bad("does not end with a zero byte");
  for (size_t at = 0; at < replacements_.size();) {
    const size_t length = std::strlen(replacements_.c_str() + at);
    if (length > kLongestReplacement) {
      return bad("has a replacement of " + std::to_string(length) + " bytes, at most " +
                 std::to_string(kLongestReplacement) + " are allowed");
    }
    at += length + 1;
  }
  return {};
}

uint32_t Charsmap::unit(uint32_t index) const {
  uint32_t unit = 0;
  if (size_t{index} < units_.size() / sizeof(unit)) {
    std::memcpy(&unit, units_.data() + size_t{index} * sizeof(unit), sizeof(unit));
  }
  return unit;
}

Charsmap::Replacement Charsmap::find(std::string_view text) const {
  Replacement found;
  if (units_.empty()) return found;
  uint32_t node = offset(unit(0));
  for (size_t at = 0; at < std::min(text.size(), kLongestSequence); ++at) {
    const auto byte = static_cast<uint8_t>(text[at]);
    if (byte == 0) break;
    node ^= byte;
    const uint32_t here = unit(node);
    if (label(here) != byte) break;
    node ^= offset(here);
    if (!has_value(here)) continue;
    const uint32_t place = value(unit(node));
    if (place < replacements_.size()) found = {std::string_view(replacements_.c_str() + place), at + 1};
  }
  return found;
}

}  // namespace ostinato::tokenizer
