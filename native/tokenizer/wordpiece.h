// WordPiece (BERT): cleaned, lower-cased words, each cut into the longest tokens from its beginning on. GGUF
// writes a token that begins a word with U+2581 before it, and others without their "##".
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/model.h"
#include "tokenizer/trie.h"

namespace ostinato::tokenizer {

class WordPiece : public Model {
 public:
  Status build(const Source& source, const Vocab& vocab, Defaults& defaults) override;

  // What BertTokenizer makes of the text (llama.cpp drops all marks and all but the first letter of a Hangul
  // syllable). A word that tokens cannot make, or of more than 100 characters, is the unknown token.
  Status encode(const Vocab& vocab, const Specials& specials, const Stretch& stretch,
                std::vector<int32_t>& ids) const override;
  void append_bytes(std::string_view token, std::string& out) const override;

 private:
  void encode_word(std::string_view word, int32_t unknown, std::vector<int32_t>& ids) const;

  bool lowercase_ = true, strip_accents_ = true;
  Trie tokens_;
};

}  // namespace ostinato::tokenizer
