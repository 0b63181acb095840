#include "tokenizer/wordpiece.h"

#include "tokenizer/spelling.h"
#include "tokenizer/unicode.h"

namespace ostinato::tokenizer {
namespace {

constexpr uint32_t kLongestWord = 100;  // characters: max_input_chars_per_word of BertTokenizer
constexpr uint32_t kReplacementCharacter = 0xFFFD;

constexpr bool between(uint32_t code, uint32_t first, uint32_t last) { return code >= first && code <= last; }

// Each is a word by itself (handle_chinese_chars; 2B920 instead of 2B820 is what `tokenizers` has).
bool is_ideograph(uint32_t code) {
  return between(code, 0x4E00, 0x9FFF) || between(code, 0x3400, 0x4DBF) || between(code, 0x20000, 0x2A6DF) ||
         between(code, 0x2A700, 0x2B81F) || between(code, 0x2B920, 0x2CEAF) ||
         between(code, 0xF900, 0xFAFF) || between(code, 0x2F800, 0x2FA1F);
}

bool is_dropped(uint32_t code, uint8_t classes) {  // clean_text
  if (code == '\t' || code == '\n' || code == '\r') return false;
  return code >= kNoCode || code == kReplacementCharacter || (classes & kControlChar);
}

bool stands_alone(uint32_t code, uint8_t classes) {  // the punctuation of BertPreTokenizer
  return (classes & kPunctuation) || (code < 0x80 && (classes & kSymbol));
}

// The words of a text, given to `use(word, characters)` one after the other.
template <class Use>
class Words {
 public:
  Words(bool lowercase, bool strip_accents, Use use)
      : lowercase_(lowercase), strip_accents_(strip_accents), use_(use) {
    word_ = kEscapedSpace;
  }

  void read(std::string_view text) {
    const Characters characters(text);
    for (uint32_t at = 0; at < characters.count(); ++at) {
      const uint32_t code = characters.code(at);
      const uint8_t classes = characters.classes(at);
      if (is_dropped(code, classes)) continue;
      const bool alone = is_ideograph(code);
      if (alone || (classes & kWhitespace)) end_word();
      if (!(classes & kWhitespace)) add_character(code);
      if (alone) end_word();
    }
    end_word();
  }

 private:
  void add_character(uint32_t code) {
    parts_.clear();
    if (strip_accents_) {
      append_unaccented(code, parts_);
    } else {
      parts_.push_back(code);
    }
    for (const uint32_t part : parts_) {
      const uint8_t classes = classify_(part);
      if (strip_accents_ && (classes & kNonspacing)) continue;
      const bool alone = stands_alone(part, classes);
      if (alone) end_word();
      lowercase_ ? append_lowercase(part, word_) : append_utf8(part, word_);
      ++length_;
      if (alone) end_word();
    }
  }

  void end_word() {
    if (length_ > 0) use_(std::string_view(word_), length_);
    word_.resize(kEscapedSpace.size());
    length_ = 0;
  }

  bool lowercase_, strip_accents_;
  Use use_;
  Classifier classify_;
  std::vector<uint32_t> parts_;
  std::string word_;  // with U+2581 before it
  uint32_t length_ = 0;
};

}  // namespace

Status WordPiece::build(const Source& source, const Vocab& vocab, Defaults&) {
  lowercase_ = source.lowercase != 0;  // wanted unless the file says no
  strip_accents_ = source.strip_accents == kAbsent ? lowercase_ : source.strip_accents > 0;
  std::vector<Trie::Entry> entries;
  entries.reserve(vocab.size());
  for (int32_t id = 0; id < static_cast<int32_t>(vocab.size()); ++id) entries.push_back({vocab.text(id), id});
  return tokens_.build(std::move(entries));
}

Status WordPiece::encode(const Vocab&, const Specials& specials, const Stretch& stretch,
                         std::vector<int32_t>& ids) const {
  Words words(lowercase_, strip_accents_, [&](std::string_view word, uint32_t characters) {
    if (characters <= kLongestWord) return encode_word(word, specials.unknown, ids);
    if (specials.unknown != kNoToken) ids.push_back(specials.unknown);
  });
  words.read(stretch.text);
  return {};
}

void WordPiece::encode_word(std::string_view word, int32_t unknown, std::vector<int32_t>& ids) const {
  const size_t before = ids.size();
  while (!word.empty()) {
    const Trie::Match match = tokens_.longest(word);
    const bool inside = ids.size() > before;  // where U+2581 is one that the text has
    if (match.id == kNoToken || (inside && word.starts_with(kEscapedSpace))) {
      ids.resize(before);
      if (unknown != kNoToken) ids.push_back(unknown);
      return;
    }
    ids.push_back(match.id);
    word.remove_prefix(match.size);
  }
}

void WordPiece::append_bytes(std::string_view token, std::string& out) const { unescape_spaces(token, out); }

}  // namespace ostinato::tokenizer
