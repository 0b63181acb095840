#include "tokenizer/rwkv.h"

#include "tokenizer/spelling.h"

namespace ostinato::tokenizer {
namespace {

char escaped(char letter) {
  switch (letter) {
    case 't':
      return '\t';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    default:
      return letter;
  }
}

}  // namespace

Status Rwkv::build(const Source&, const Vocab& vocab, Defaults&) {
  std::vector<std::string> texts(vocab.size());
  std::vector<Trie::Entry> entries;
  for (int32_t id = 0; id < static_cast<int32_t>(vocab.size()); ++id) {
    if (vocab.is(id, kControl | kUnknown)) continue;  // not to be had by writing them out
    append_bytes(vocab.text(id), texts[id]);
    entries.push_back({texts[id], id});
  }
  return tokens_.build(std::move(entries));
}

Status Rwkv::encode(const Vocab&, const Specials& specials, const Stretch& stretch,
                    std::vector<int32_t>& ids) const {
  for (std::string_view rest = stretch.text; !rest.empty();) {
    const Trie::Match match = tokens_.longest(rest);
    const bool known = match.id != kNoToken;
    if (known || specials.unknown != kNoToken) ids.push_back(known ? match.id : specials.unknown);
    rest.remove_prefix(known ? match.size : 1);
  }
  return {};
}

void Rwkv::append_bytes(std::string_view token, std::string& out) const {
  for (size_t at = 0; at < token.size(); ++at) {
    if (token[at] != '\\' || at + 1 == token.size()) {
      out.push_back(token[at]);
      continue;
    }
    const char letter = token[++at];
    const int byte = letter == 'x' && token.size() - at > 2 ? byte_of_hex(token.substr(at + 1, 2)) : -1;
    out.push_back(byte < 0 ? escaped(letter) : static_cast<char>(byte));
    if (byte >= 0) at += 2;
  }
}

}  // namespace ostinato::tokenizer
