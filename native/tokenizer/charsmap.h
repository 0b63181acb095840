// SentencePiece's precompiled normaliser: which sequences of a text are replaced by which others.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "tokenizer/source.h"
#include "tokenizer/status.h"

namespace ostinato::tokenizer {

// The blob of a .model file: a u32 with the size of a double array trie (sentencepiece's darts_clone: one u32
// a unit, see Shunsuke Kanda, "Space- and time-efficient string dictionaries", 2018), the trie, and the
// replacements, each ended by a zero byte. The trie's values are places of replacements.
class Charsmap {
 public:
  Status load(const RawArray& blob);

  // The longest replaced sequence that begins `text`: `consumed` bytes of it, 0 for none.
  struct Replacement {
    std::string_view text;
    size_t consumed = 0;
  };
  Replacement find(std::string_view text) const;

 private:
  uint32_t unit(uint32_t index) const;  // 0 outside: a unit without children

  std::string units_, replacements_;
};

}  // namespace ostinato::tokenizer
