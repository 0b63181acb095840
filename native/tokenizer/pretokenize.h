// Pre-tokenizers: how a text is cut into words before byte-level BPE merges them.
//
// The published regular expressions are rules of a few shapes over character classes; one matcher walks them
// in time linear in the text, whatever it holds.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/unicode.h"

namespace ostinato::tokenizer {

// A set of characters: those with any of the bits, or (negated) with none of them.
struct Set {
  uint16_t bits = 0;
  bool negated = false;
  constexpr bool has(uint16_t classes) const { return ((classes & bits) != 0) != negated; }
};

// One alternative of a regular expression.
struct Rule {
  enum Shape : uint8_t {
    kRun,             // head? body{min,max} tail*, or with a head that must be there
    kThroughLast,     // body* up to and with the last of the run that is in `tail`:  \s*[\r\n]+
    kBeforeOther,     // body+ but for its last character where something else follows:  \s+(?!\S)
    kContraction,     // 's 't 'm 'd 're 've 'll
    kAnyContraction,  // the same in either case
  };
  Shape shape = kRun;
  Set head = {};  // at most one character
  bool needs_head = false;
  Set body = {};
  uint8_t min = 1, max = 0;  // max 0: no limit
  Set tail = {};
};

// A pass cuts every piece that the pass before left into its matches and the gaps between them.
using Pass = std::span<const Rule>;

struct PreTokenizer {
  std::span<const Pass> passes;
  bool ignore_merges = false;  // a word that is a token stays one
  bool add_bos = false;        // default of tokenizer.ggml.add_bos_token
};

// The pre-tokenizer that `tokenizer.ggml.pre` names; null where it is not known.
const PreTokenizer* find_pretokenizer(std::string_view name);
std::string known_pretokenizers();  // all names, for an error message

// Cuts `text` into words: appends the end of each, in bytes. Malformed UTF-8 is a character of no class.
void split_words(const PreTokenizer& pre, std::string_view text, std::vector<uint32_t>& ends);

}  // namespace ostinato::tokenizer
