#include "tokenizer/vocab.h"

#include <string>

namespace ostinato::tokenizer {
namespace {

constexpr int32_t kByteType = 6;  // the last of the types that tokenizer.ggml.token_type knows, from 1

Status check_length(const RawArray& array, uint32_t tokens, const char* name) {
  if (array.count == tokens && array.bytes.size() == size_t{4} * tokens) return {};
  return failed(std::string(name) + " has " + std::to_string(array.count) + " elements in " +
                std::to_string(array.bytes.size()) + " bytes, tokenizer.ggml.tokens has " +
                std::to_string(tokens));
}

}  // namespace

Status Vocab::load(const Source& source) {
  if (Status status = texts_.load(source.tokens, "tokenizer.ggml.tokens"); !status.ok()) return status;
  if (size() == 0) return failed("tokenizer.ggml.tokens is empty");
  if (size() > INT32_MAX) return failed("tokenizer.ggml.tokens: more than 2^31 - 1 tokens");
  if (Status status = load_types(source.types); !status.ok()) return status;
  if (Status status = load_scores(source.scores); !status.ok()) return status;
  return index();
}

Status Vocab::load_types(const RawArray& types) {
  attributes_.assign(size(), kNormal);
  if (!types.present) return {};
  if (Status status = check_length(types, size(), "tokenizer.ggml.token_type"); !status.ok()) return status;
  for (uint32_t id = 0; id < size(); ++id) {
    int32_t type;
    std::memcpy(&type, types.bytes.data() + size_t{4} * id, sizeof(type));
    attributes_[id] = type >= 1 && type <= kByteType ? static_cast<uint8_t>(1 << (type - 1)) : 0;
  }
  return {};
}

Status Vocab::load_scores(const RawArray& scores) {
  if (!scores.present) return {};
  if (Status status = check_length(scores, size(), "tokenizer.ggml.scores"); !status.ok()) return status;
  scores_.resize(size());
  std::memcpy(scores_.data(), scores.bytes.data(), scores.bytes.size());
  return {};
}

Status Vocab::index() {
  ids_.reserve(size());
  for (uint32_t id = 0; id < size(); ++id) {
    const std::string_view text = texts_[id];
    if (text.empty()) continue;  // matches nothing
    longest_ = std::max(longest_, static_cast<uint32_t>(text.size()));
    uint32_t first = 0;
    switch (ids_.insert(hash_of(text), id, [&](uint32_t other) { return texts_[other] == text; }, first)) {
      case HashTable::Insertion::kDone:
        break;
      case HashTable::Insertion::kDuplicate:
        return failed("tokenizer.ggml.tokens: tokens " + std::to_string(first) + " and " +
                      std::to_string(id) + " have the same text");
      case HashTable::Insertion::kCrafted:
        return failed("tokenizer.ggml.tokens: texts crafted to collide, at token " + std::to_string(id));
    }
  }
  return {};
}

}  // namespace ostinato::tokenizer
