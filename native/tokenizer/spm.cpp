#include "tokenizer/spm.h"

#include <bit>

namespace ostinato::tokenizer {
namespace {

// Orders floats as integers, the highest score first: 0 for +infinity and up.
uint32_t descending(float score) {
  const auto bits = std::bit_cast<uint32_t>(score + 0.0f);  // + 0: -0 is 0
  const uint32_t ascending = bits & 0x80000000 ? ~bits : bits | 0x80000000;
  return ~ascending;
}

int hex_digit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  const char lower = digit | 0x20;
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string byte_token(int byte) {
  constexpr char kHex[] = "0123456789ABCDEF";
  return {'<', '0', 'x', kHex[byte >> 4], kHex[byte & 15], '>'};
}

std::string escape_spaces(std::string_view text, bool prefix) {
  std::string escaped(prefix ? kEscapedSpace : "");
  escaped.reserve(text.size() + text.size() / 2);
  for (const char byte : text) {
    if (byte == ' ') {
      escaped.append(kEscapedSpace);
    } else {
      escaped.push_back(byte);
    }
  }
  return escaped;
}

}  // namespace

struct Spm::Policy {
  const Vocab& vocab;
  std::string_view text;

  void changed(Symbol&) const {}

  uint32_t priority(const Symbol& left, const Symbol& right) const {
    const int32_t id = vocab.find(text.substr(left.begin, left.size + right.size));
    return id == kNoToken ? kNeverJoin : std::min(descending(vocab.score(id)), kNeverJoin - 1);
  }
};

void Spm::build(const Vocab& vocab, int32_t unknown) {
  unknown_ = unknown;
  for (int byte = 0; byte < 256; ++byte) {
    const char text = static_cast<char>(byte);
    const int32_t id = vocab.find(byte_token(byte));
    byte_tokens_[byte] = id != kNoToken ? id : vocab.find({&text, 1});
  }
}

void Spm::encode(const Vocab& vocab, std::string_view text, bool prefix, std::vector<int32_t>& ids) const {
  const std::string escaped = escape_spaces(text, prefix);
  MergeSpace space;
  space.split(escaped);
  merge(space, Policy{vocab, escaped});
  for (const Symbol& symbol : space.symbols) {
    if (symbol.size == 0) continue;
    const auto piece = std::string_view(escaped).substr(symbol.begin, symbol.size);
    const int32_t id = vocab.find(piece);
    if (id != kNoToken) {
      ids.push_back(id);
    } else {
      encode_bytes(piece, ids);
    }
  }
}

void Spm::encode_bytes(std::string_view piece, std::vector<int32_t>& ids) const {
  for (const char byte : piece) {
    if (byte_tokens_[static_cast<uint8_t>(byte)] == kNoToken) {
      if (unknown_ != kNoToken) ids.push_back(unknown_);
      return;
    }
  }
  for (const char byte : piece) ids.push_back(byte_tokens_[static_cast<uint8_t>(byte)]);
}

int byte_of_token(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  const int high = hex_digit(text[3]), low = hex_digit(text[4]);
  return high < 0 || low < 0 ? -1 : high << 4 | low;
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

}  // namespace ostinato::tokenizer
