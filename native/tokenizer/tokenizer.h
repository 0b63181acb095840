// A model's tokenizer: text to ids and back. Immutable once built, so any number of threads may use one.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/model.h"
#include "tokenizer/partition.h"
#include "tokenizer/source.h"
#include "tokenizer/specials.h"
#include "tokenizer/status.h"
#include "tokenizer/vocab.h"

namespace ostinato::tokenizer {

class Tokenizer {
 public:
  static constexpr size_t kLongestText = size_t{1} << 29;  // offsets into escaped texts must fit 31 bits

  Status build(const Source& source);

  // Appends the ids of `text`. `add_special`: with the BOS, EOS and separator that the file wants;
  // `parse_special`: control tokens that stand in the text literally are taken as such, otherwise as text.
  Status encode(std::string_view text, bool add_special, bool parse_special, std::vector<int32_t>& ids) const;

  // Appends the bytes that a token means; a control token means its text.
  void append_bytes(int32_t id, std::string& out) const;

  const Vocab& vocab() const { return vocab_; }
  const Specials& specials() const { return specials_; }
  bool is_control(int32_t id) const { return vocab_.is(id, kControl | kUnknown); }
  Status check(std::span<const int32_t> ids) const;       // that every id is one of the vocabulary
  std::string bad_id(int64_t id, size_t position) const;  // the message where one is not

 private:
  std::unique_ptr<Model> model_;
  Vocab vocab_;
  Specials specials_;
  Partitioner partitioner_;
};

}  // namespace ostinato::tokenizer
