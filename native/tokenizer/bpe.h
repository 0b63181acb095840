// Byte-level BPE (gpt-2 and its kin): words from a pre-tokenizer, joined by the file's ranked merges. Some
// merge raw text with U+2581 for spaces instead (gemma 4).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/hash.h"
#include "tokenizer/merge.h"
#include "tokenizer/model.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/strings.h"

namespace ostinato::tokenizer {

class Bpe : public Model {
 public:
  Status build(const Source& source, const Vocab& vocab, Defaults& defaults) override;

  // Malformed UTF-8 is encoded byte for byte, so nothing is lost. A piece that is no token (a vocabulary
  // without all bytes) gives the tokens of its characters' single bytes and drops those that are none, as
  // llama.cpp does.
  Status encode(const Vocab& vocab, const Specials& specials, const Stretch& stretch,
                std::vector<int32_t>& ids) const override;
  void append_bytes(std::string_view token, std::string& out) const override;

 private:
  struct Policy;
  struct Parts {
    std::string_view left, right;
  };

  Status load_merges(const RawArray& merges);
  Parts parts(uint32_t rank) const;
  void spell(std::string_view text, std::string& word) const;
  bool stays_whole(std::string_view word) const;
  void encode_word(const Vocab& vocab, std::string_view word, MergeSpace& space,
                   std::vector<int32_t>& ids) const;
  void encode_bytes(const Vocab& vocab, std::string_view piece, std::vector<int32_t>& ids) const;

  const PreTokenizer* pre_ = nullptr;
  WordSplitter splitter_;
  bool drop_spaces_ = false, lowercase_ = false;
  Strings merges_;        // "left right", in order of rank
  HashTable ranks_;       // by the pair of parts
  uint32_t longest_ = 0;  // bytes of the longest joined pair
};

}  // namespace ostinato::tokenizer
