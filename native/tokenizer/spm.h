// SentencePiece BPE (llama 2 and its kin): neighbours are joined while the joined text is a token, best score
// first.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/merge.h"
#include "tokenizer/vocab.h"

namespace ostinato::tokenizer {

inline constexpr std::string_view kEscapedSpace = "\xE2\x96\x81";  // U+2581

class Spm {
 public:
  void build(const Vocab& vocab, int32_t unknown);

  // Appends the ids of `text`, which begins with a space of its own if `prefix`. A character that is no token
  // gives its bytes' tokens (<0x0A>), or the unknown token where the vocabulary has none.
  void encode(const Vocab& vocab, std::string_view text, bool prefix, std::vector<int32_t>& ids) const;

 private:
  struct Policy;
  void encode_bytes(std::string_view piece, std::vector<int32_t>& ids) const;

  std::array<int32_t, 256> byte_tokens_{};
  int32_t unknown_ = kNoToken;
};

// The byte that a token's text "<0x0A>" means, or -1.
int byte_of_token(std::string_view text);
// Appends `text` with every U+2581 as a space.
void unescape_spaces(std::string_view text, std::string& out);

}  // namespace ostinato::tokenizer
