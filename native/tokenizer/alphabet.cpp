#include "tokenizer/alphabet.h"

#include "tokenizer/unicode.h"

namespace ostinato::tokenizer {

void to_alphabet(std::string_view bytes, std::string& out) {
  for (const char byte : bytes) {
    const uint16_t code = kAlphabet.code_of[static_cast<uint8_t>(byte)];
    if (code < 0x80) {
      out.push_back(static_cast<char>(code));
    } else {
      out.push_back(static_cast<char>(0xC0 | code >> 6));
      out.push_back(static_cast<char>(0x80 | (code & 0x3F)));
    }
  }
}

void from_alphabet(std::string_view text, std::string& out) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text.data() + at, text.size() - at);
    const bool known =
        step.kind == Utf8Step::kCharacter && step.code < kAlphabetEnd && kAlphabet.byte_of[step.code] >= 0;
    if (known) {
      out.push_back(static_cast<char>(kAlphabet.byte_of[step.code]));
    } else {
      out.append(text.substr(at, step.size));
    }
    at += step.size;
  }
}

}  // namespace ostinato::tokenizer
