// UTF-8 and character classes: what pre-tokenizers and decoders need to know about text.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ostinato::tokenizer {

// Class bits of a code point (the table is made by tools/unicode_tables.py).
enum ClassBit : uint8_t {
  kLetter = 1,        // \p{L}
  kNumber = 2,        // \p{N}
  kPunctuation = 4,   // \p{P}
  kSymbol = 8,        // \p{S}
  kMark = 16,         // \p{M}
  kWhitespace = 32,   // \s
  kNonspacing = 64,   // \p{Mn}
  kControlChar = 128  // \p{C} without the unassigned
};

constexpr uint32_t kNoCode = 0x110000;  // what is not a character

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
  uint8_t operator()(uint32_t code);

 private:
  uint32_t first_ = 1, last_ = 0;  // the run of the last answer; empty at first
  uint8_t bits_ = 0;
};

// The characters of a text with their class bits, for what asks about neighbours. Stretches that are not
// UTF-8 (see Utf8Step) count as one character each, of no class. Positions count characters.
class Characters {
 public:
  explicit Characters(std::string_view text);

  uint32_t count() const { return static_cast<uint32_t>(packed_.size()); }
  uint32_t packed(uint32_t at) const { return packed_[at]; }  // code << 8 | class bits
  uint32_t code(uint32_t at) const { return packed_[at] >> 8; }
  uint8_t classes(uint32_t at) const { return static_cast<uint8_t>(packed_[at]); }
  uint32_t offset(uint32_t at) const { return starts_[at]; }  // in bytes; at count(): the end

 private:
  std::vector<uint32_t> packed_, starts_;
};

void append_utf8(uint32_t code, std::string& out);

// Appends a letter's lower case, one character by itself.
void append_lowercase(uint32_t code, std::string& out);
// Appends what canonical decomposition leaves of a character without its nonspacing marks.
void append_unaccented(uint32_t code, std::vector<uint32_t>& out);

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
