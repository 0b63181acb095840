// Pre-tokenizers: how a text is cut into words before byte-level BPE merges them.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/pattern.h"
#include "tokenizer/status.h"

namespace ostinato::tokenizer {

// What else `tokenizer.ggml.pre` says.
enum PreFlag : uint8_t {
  kIgnoreMerges = 1,    // a word that is a token stays one
  kAddBos = 2,          // tokenizer.ggml.add_bos_token is true where the file has none
  kAlwaysBos = 4,       // and even where the file says false
  kRawBytes = 8,        // words are merged as they are, not in the alphabet of bytes; missing ones are <0x0A>
  kEscapeSpaces = 16,   // with U+2581 for spaces
  kWholeNewlines = 32,  // a word of newlines alone that is a token stays one
  kNoMerges = 64,       // the file may go without merges
  kStripMask = 128,     // white space before <mask> belongs to it
};

struct PreTokenizer {
  std::string_view name;
  std::span<const std::string_view> patterns;
  int flags = 0;

  bool is(PreFlag flag) const { return (flags & flag) != 0; }
};

// The pre-tokenizer that `tokenizer.ggml.pre` names; null where it is not known.
const PreTokenizer* find_pretokenizer(std::string_view name);
std::string known_pretokenizers();  // all names, for an error message

// Cuts texts by a list of patterns: each cuts every piece that the one before left into its matches and the
// gaps between them.
class WordSplitter {
 public:
  Status build(const PreTokenizer& pre);

  // Appends the end of each word, in bytes. What is not UTF-8 is a character of no class.
  void split(std::string_view text, std::vector<uint32_t>& ends) const;

 private:
  std::vector<Pattern> patterns_;
};

}  // namespace ostinato::tokenizer
