#include "tokenizer/spm.h"

#include <bit>

#include "tokenizer/merge.h"
#include "tokenizer/spelling.h"

namespace ostinato::tokenizer {
namespace {

// Orders floats as integers, the highest score first: 0 for +infinity and up.
uint32_t descending(float score) {
  const auto bits = std::bit_cast<uint32_t>(score + 0.0f);  // + 0: -0 is 0
  const uint32_t ascending = bits & 0x80000000 ? ~bits : bits | 0x80000000;
  return ~ascending;
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

Status Spm::build(const Source&, const Vocab& vocab, Defaults&) {
  for (int byte = 0; byte < 256; ++byte) {
    const char text = static_cast<char>(byte);
    const int32_t id = vocab.find(byte_token(byte));
    byte_tokens_[byte] = id != kNoToken ? id : vocab.find({&text, 1});
  }
  return {};
}

Status Spm::encode(const Vocab& vocab, const Specials& specials, const Stretch& stretch,
                   std::vector<int32_t>& ids) const {
  std::string escaped(stretch.first && specials.add_space_prefix ? kEscapedSpace : "");
  escape_spaces(stretch.text, escaped);
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
      encode_bytes(piece, specials.unknown, ids);
    }
  }
  return {};
}

void Spm::encode_bytes(std::string_view piece, int32_t unknown, std::vector<int32_t>& ids) const {
  for (const char byte : piece) {
    if (byte_tokens_[static_cast<uint8_t>(byte)] == kNoToken) {
      if (unknown != kNoToken) ids.push_back(unknown);
      return;
    }
  }
  for (const char byte : piece) ids.push_back(byte_tokens_[static_cast<uint8_t>(byte)]);
}

void Spm::append_bytes(std::string_view token, std::string& out) const { unescape_spaces(token, out); }

}  // namespace ostinato::tokenizer
