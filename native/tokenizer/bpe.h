// Byte-level BPE (gpt-2 and its kin): words from a pre-tokenizer, joined by the file's ranked merges.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/hash.h"
#include "tokenizer/merge.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/source.h"
#include "tokenizer/status.h"
#include "tokenizer/strings.h"
#include "tokenizer/vocab.h"

namespace ostinato::tokenizer {

class Bpe {
 public:
  Status build(const Source& source);
  bool adds_bos() const { return pre_->add_bos; }

  // Appends the ids of `text`. Malformed UTF-8 is encoded byte for byte, so nothing is lost. A piece that is
  // no token (a vocabulary without all bytes) gives the tokens of its characters' single bytes and drops
  // those that are none, as llama.cpp does.
  void encode(const Vocab& vocab, std::string_view text, std::vector<int32_t>& ids) const;

 private:
  struct Policy;
  struct Parts {
    std::string_view left, right;
  };

  Parts parts(uint32_t rank) const;
  void encode_word(const Vocab& vocab, std::string_view word, MergeSpace& space,
                   std::vector<int32_t>& ids) const;

  const PreTokenizer* pre_ = nullptr;
  Strings merges_;        // "left right", in order of rank
  HashTable ranks_;       // by the pair of parts
  uint32_t longest_ = 0;  // bytes of the longest joined pair
};

}  // namespace ostinato::tokenizer
