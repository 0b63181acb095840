// SentencePiece Unigram (T5, XLM-RoBERTa): the normalised text as the tokens with the best sum of scores.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/charsmap.h"
#include "tokenizer/model.h"
#include "tokenizer/trie.h"

namespace ostinato::tokenizer {

class Unigram : public Model {
 public:
  Status build(const Source& source, const Vocab& vocab, Defaults& defaults) override;

  // A character that no token covers is the unknown token, as are several in a row. Bytes that are not UTF-8
  // become U+FFFD.
  Status encode(const Vocab& vocab, const Specials& specials, const Stretch& stretch,
                std::vector<int32_t>& ids) const override;
  void append_bytes(std::string_view token, std::string& out) const override;

 private:
  // The best way to a place of the text: its last token, where that begins, the sum of all.
  struct Step {
    double score;
    int32_t token;  // kNoToken: unknown
    uint32_t from;
  };

  std::string normalise(std::string_view text, bool prefix) const;
  std::vector<Step> best_steps(std::string_view text) const;

  Charsmap charsmap_;
  Trie tokens_;
  std::vector<float> scores_;  // by id
  double unknown_score_ = 0;
  bool merge_spaces_ = false;
};

}  // namespace ostinato::tokenizer
