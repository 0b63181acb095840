// The vocabulary: texts, attributes and scores of tokens by id, and ids by text.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/hash.h"
#include "tokenizer/source.h"
#include "tokenizer/status.h"
#include "tokenizer/strings.h"

namespace ostinato::tokenizer {

constexpr int32_t kNoToken = -1;

// What a token is; `tokenizer.ggml.token_type` names the bit (1 normal, 2 unknown, ... 6 byte).
enum TokenAttribute : uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 4,
  kUserDefined = 8,
  kUnused = 16,
  kByte = 32,
};

class Vocab {
 public:
  Status load(const Source& source);

  uint32_t size() const { return texts_.size(); }
  bool contains(int64_t id) const { return id >= 0 && id < size(); }
  std::string_view text(int32_t id) const { return texts_[id]; }
  float score(int32_t id) const { return scores_.empty() ? 0.0f : scores_[id]; }
  bool is(int32_t id, int attributes) const { return attributes_[id] & attributes; }
  void set_attributes(int32_t id, int attributes) { attributes_[id] = static_cast<uint8_t>(attributes); }
  void add_attributes(int32_t id, int attributes) { attributes_[id] |= static_cast<uint8_t>(attributes); }

  // The token with this text, or kNoToken.
  int32_t find(std::string_view text) const {
    return text.size() > longest_ ? kNoToken : find(text, hash_of(text));
  }
  int32_t find(std::string_view text, uint64_t hash) const {
    return static_cast<int32_t>(ids_.find(hash, [&](uint32_t id) { return texts_[id] == text; }));
  }
  uint32_t longest() const { return longest_; }  // bytes of the longest text

 private:
  Status load_types(const RawArray& types);
  Status load_scores(const RawArray& scores);
  Status index();

  Strings texts_;
  std::vector<uint8_t> attributes_;
  std::vector<float> scores_;
  HashTable ids_;
  uint32_t longest_ = 0;
};

}  // namespace ostinato::tokenizer
