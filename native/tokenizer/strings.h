// A run of length-prefixed strings as GGUF stores it: copied once, checked, and addressed by index.
#pragma once
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "tokenizer/source.h"
#include "tokenizer/status.h"

namespace ostinato::tokenizer {

class Strings {
 public:
  // `what` names the array in messages.
  Status load(const RawArray& array, std::string_view what);

  uint32_t size() const { return static_cast<uint32_t>(offsets_.size()); }
  std::string_view operator[](uint32_t index) const {
    const char* text = blob_.data() + offsets_[index];
    uint64_t length;
    std::memcpy(&length, text - sizeof(length), sizeof(length));
    return {text, static_cast<size_t>(length)};
  }

 private:
  std::vector<char> blob_;         // the run, prefixes included
  std::vector<uint32_t> offsets_;  // of each string's first byte
};

}  // namespace ostinato::tokenizer
