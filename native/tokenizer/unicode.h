// UTF-8 and character classes: what pre-tokenizers and decoders need to know about text.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ostinato::tokenizer {

// Class bits of a character. The first six come from the Unicode table, the others are fixed sets of code
// points.
enum ClassBit : uint16_t {
  kLetter = 1,         // \p{L}
  kNumber = 2,         // \p{N}
  kPunctuation = 4,    // \p{P}
  kSymbol = 8,         // \p{S}
  kMark = 16,          // \p{M}
  kWhitespace = 32,    // \s
  kNewline = 64,       // [\r\n]
  kSpace = 128,        // U+0020
  kDigit = 256,        // [0-9]
  kLatin = 512,        // [A-Za-z]
  kAsciiPunct = 1024,  // the 32 printing ASCII characters that are neither letters nor digits
  kAsciiMath = 2048,   // [$+<=>^~|]
  kBacktick = 4096,    // [`]
  kCjk = 8192,         // U+3040..30FF, U+4E00..9FA5
  kWideCjk = 16384,    // U+0800..9FA5, U+AC00..D7FF
};

// What stands at the head of some bytes.
struct Utf8Step {
  enum Kind : uint8_t { kCharacter, kInvalid, kIncomplete };
  Kind kind;
  uint8_t
      size;  // bytes of the character; for the other kinds, of the longest prefix of one (Unicode 15.1, D93b)
  uint32_t code;  // the code point of a character, else 0
};
// Reads one step of well-formed UTF-8; `size` >= 1. kIncomplete: all `size` bytes begin a character.
Utf8Step utf8_step(const char* text, size_t size);

// Class bits of code points. Keeps the last run of the table, since neighbours in a text share it.
class Classifier {
 public:
  uint16_t operator()(uint32_t code);

 private:
  uint32_t first_ = 1, last_ = 0;  // the run of the last answer; empty at first
  uint16_t bits_ = 0;
};

// Turns bytes that arrive in pieces into well-formed UTF-8: whole characters only; U+FFFD for what is
// provably not one.
class Utf8Stream {
 public:
  void push(std::string_view bytes, std::string& out);
  void flush(std::string& out);  // what is still incomplete becomes one U+FFFD

 private:
  std::string pending_;  // at most three bytes between calls
};

}  // namespace ostinato::tokenizer
