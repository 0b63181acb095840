// How tokens are written. The alphabet of byte-level BPE: every byte is a printable character (OpenAI's gpt-2
// encoder.py, bytes_to_unicode). The printing characters of Latin-1 stand for themselves, the other 68 bytes
// for U+0100, U+0101, ... in order.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace ostinato::tokenizer {

constexpr bool prints_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

constexpr int kAlphabetEnd = 256 + 68;  // code points of the alphabet are below

struct Alphabet {
  std::array<uint16_t, 256> code_of{};
  std::array<int16_t, kAlphabetEnd> byte_of{};  // -1: not of the alphabet

  constexpr Alphabet() {
    byte_of.fill(-1);
    uint16_t next = 256;
    for (int byte = 0; byte < 256; ++byte) {
      code_of[byte] = prints_itself(byte) ? static_cast<uint16_t>(byte) : next++;
      byte_of[code_of[byte]] = static_cast<int16_t>(byte);
    }
  }
};

inline constexpr Alphabet kAlphabet;

// Appends the characters, in UTF-8, that stand for `bytes`.
void to_alphabet(std::string_view bytes, std::string& out);
// Appends the bytes that the characters of `text` stand for; what is not of the alphabet stands for itself.
void from_alphabet(std::string_view text, std::string& out);

inline constexpr std::string_view kEscapedSpace = "\xE2\x96\x81";  // U+2581: how SentencePiece writes a space

// Appends `text` with every space as U+2581, and the other way round.
void escape_spaces(std::string_view text, std::string& out);
void unescape_spaces(std::string_view text, std::string& out);

// The text of the token that means one byte, "<0x0A>", and the byte that such a text means, or -1.
std::string byte_token(int byte);
int byte_of_token(std::string_view text);
int byte_of_hex(std::string_view digits);  // two digits, or -1

}  // namespace ostinato::tokenizer
