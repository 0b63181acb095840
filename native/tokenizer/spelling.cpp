#include "tokenizer/spelling.h"

#include "tokenizer/unicode.h"

namespace ostinato::tokenizer {
namespace {

int hex_digit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  const char lower = digit | 0x20;
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

void to_alphabet(std::string_view bytes, std::string& out) {
  for (const char byte : bytes) append_utf8(kAlphabet.code_of[static_cast<uint8_t>(byte)], out);
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

void escape_spaces(std::string_view text, std::string& out) {
  out.reserve(out.size() + text.size() + text.size() / 2);
  for (const char byte : text) {
    if (byte == ' ') {
      out.append(kEscapedSpace);
    } else {
      out.push_back(byte);
    }
  }
}

void unescape_spaces(std::string_view text, std::string& out) {
  for (size_t at = 0; at < text.size();) {
    if (text.substr(at).starts_with(kEscapedSpace)) {
      out.push_back(' ');
      at += kEscapedSpace.size();
    } else {
      out.push_back(text[at++]);
    }
  }
}

std::string byte_token(int byte) {
  constexpr char kHex[] = "0123456789ABCDEF";
  return {'<', '0', 'x', kHex[byte >> 4], kHex[byte & 15], '>'};
}

int byte_of_token(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  return byte_of_hex(text.substr(3, 2));
}

int byte_of_hex(std::string_view digits) {
  const int high = hex_digit(digits[0]), low = hex_digit(digits[1]);
  return high < 0 || low < 0 ? -1 : high << 4 | low;
}

}  // namespace ostinato::tokenizer
