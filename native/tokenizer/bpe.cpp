#include "tokenizer/bpe.h"

#include <algorithm>
#include <string>

#include "tokenizer/spelling.h"

namespace ostinato::tokenizer {

// Merges by rank; a symbol's hash is kept, since it is asked for once with either neighbour.
struct Bpe::Policy {
  const Bpe& bpe;
  std::string_view text;

  std::string_view of(const Symbol& symbol) const { return text.substr(symbol.begin, symbol.size); }

  void changed(Symbol& symbol) const {
    if (symbol.size < bpe.longest_) symbol.hash = hash_of(of(symbol));
  }

  uint32_t priority(const Symbol& left, const Symbol& right) const {
    if (left.size + right.size > bpe.longest_) return kNeverJoin;
    return bpe.ranks_.find(hash_of(left.hash, right.hash), [&](uint32_t rank) {
      const Parts merge = bpe.parts(rank);
      return merge.left == of(left) && merge.right == of(right);
    });
  }
};
static_assert(kNeverJoin == HashTable::kNone);

Status Bpe::build(const Source& source, const Vocab&, Defaults& defaults) {
  drop_spaces_ = source.model == "whitespace";
  std::string_view name = source.pre.empty() ? "default" : source.pre;
  if (source.model == "gemma4") name = source.model;
  pre_ = find_pretokenizer(name);
  if (!pre_ || (drop_spaces_ && pre_->name != source.model)) {
    return failed("tokenizer.ggml.pre '" + std::string(name) +
                  "' is not supported; known: " + (pre_ ? std::string(source.model) : known_pretokenizers()));
  }
  lowercase_ = drop_spaces_ && source.lowercase > 0;
  defaults.add_bos = pre_->is(kAddBos);
  defaults.always_bos = pre_->is(kAlwaysBos);
  if (Status status = splitter_.build(*pre_); !status.ok()) return status;
  if (source.merges.present || !pre_->is(kNoMerges)) return load_merges(source.merges);
  ranks_.reserve(0);
  return {};
}

Status Bpe::load_merges(const RawArray& merges) {
  if (!merges.present) return failed("tokenizer.ggml.merges is missing, and byte-level BPE needs it");
  if (Status status = merges_.load(merges, "tokenizer.ggml.merges"); !status.ok()) return status;
  ranks_.reserve(merges_.size());
  for (uint32_t rank = 0; rank < merges_.size(); ++rank) {
    const auto [left, right] = parts(rank);
    if (left.empty() || right.empty()) {
      return failed("tokenizer.ggml.merges: merge " + std::to_string(rank) +
                    " is not two parts with a space between");
    }
    longest_ = std::max(longest_, static_cast<uint32_t>(left.size() + right.size()));
    const auto is_pair = [&, left = left, right = right](uint32_t other) {
      return parts(other).left == left && parts(other).right == right;
    };
    uint32_t first = 0;  // a merge given twice keeps its first rank
    const auto insertion = ranks_.insert(hash_of(hash_of(left), hash_of(right)), rank, is_pair, first);
    if (insertion == HashTable::Insertion::kCrafted) {
      return failed("tokenizer.ggml.merges: texts crafted to collide, at merge " + std::to_string(rank));
    }
  }
  return {};
}

// The parts of a merge; both empty where it has no space after its first byte.
Bpe::Parts Bpe::parts(uint32_t rank) const {
  const std::string_view merge = merges_[rank];
  const size_t space = merge.find(' ', 1);
  if (space == std::string_view::npos) return {};
  return {merge.substr(0, space), merge.substr(space + 1)};
}

Status Bpe::encode(const Vocab& vocab, const Specials&, const Stretch& stretch,
                   std::vector<int32_t>& ids) const {
  std::vector<uint32_t> ends;
  splitter_.split(stretch.text, ends);
  MergeSpace space;
  std::string word;
  uint32_t begin = 0;
  for (const uint32_t end : ends) {
    word.clear();
    spell(stretch.text.substr(begin, end - begin), word);
    encode_word(vocab, word, space, ids);
    begin = end;
  }
  return {};
}

// A word of the text as tokens are written; empty for what is dropped.
void Bpe::spell(std::string_view text, std::string& word) const {
  if (pre_->is(kEscapeSpaces)) return escape_spaces(text, word);
  if (!pre_->is(kRawBytes)) return to_alphabet(text, word);
  if (!drop_spaces_) {
    word = text;
    return;
  }
  const Characters characters(text);
  if (characters.classes(0) & kWhitespace) return;  // words of this pre-tokenizer are all space or have none
  for (uint32_t at = 0; at < characters.count(); ++at) {
    if (lowercase_ && characters.code(at) != kNoCode) {
      append_lowercase(characters.code(at), word);
    } else {
      word.append(text.substr(characters.offset(at), characters.offset(at + 1) - characters.offset(at)));
    }
  }
}

bool Bpe::stays_whole(std::string_view word) const {
  return pre_->is(kIgnoreMerges) || (pre_->is(kWholeNewlines) && word.find_first_not_of('\n') == word.npos);
}

void Bpe::encode_word(const Vocab& vocab, std::string_view word, MergeSpace& space,
                      std::vector<int32_t>& ids) const {
  if (stays_whole(word)) {
    if (const int32_t id = vocab.find(word); id != kNoToken) {
      ids.push_back(id);
      return;
    }
  }
  space.split(word);
  merge(space, Policy{*this, word});
  for (const Symbol& symbol : space.symbols) {
    if (symbol.size == 0) continue;
    const std::string_view piece = word.substr(symbol.begin, symbol.size);
    if (const int32_t id = vocab.find(piece); id != kNoToken) {
      ids.push_back(id);
    } else {
      encode_bytes(vocab, piece, ids);
    }
  }
}

void Bpe::encode_bytes(const Vocab& vocab, std::string_view piece, std::vector<int32_t>& ids) const {
  for (size_t i = 0; i < piece.size(); ++i) {
    const int32_t id = pre_->is(kRawBytes) ? vocab.find(byte_token(static_cast<uint8_t>(piece[i])))
                                           : vocab.find(piece.substr(i, 1));
    if (id != kNoToken) ids.push_back(id);
  }
}

void Bpe::append_bytes(std::string_view token, std::string& out) const {
  if (pre_->is(kEscapeSpaces)) return unescape_spaces(token, out);
  if (!pre_->is(kRawBytes)) return from_alphabet(token, out);
  out.append(token);
}

}  // namespace ostinato::tokenizer
