#include "tokenizer/unigram.h"

#include <algorithm>
#include <limits>

#include "tokenizer/spelling.h"
#include "tokenizer/unicode.h"

namespace ostinato::tokenizer {
namespace {

constexpr float kUnknownPenalty = 10;                   // below the worst score (sentencepiece's kUnkPenalty)
constexpr size_t kLongestNormalised = size_t{1} << 30;  // bytes: places must fit 32 bits
constexpr std::string_view kReplacementText = "\xEF\xBF\xBD";  // U+FFFD

}  // namespace

Status Unigram::build(const Source& source, const Vocab& vocab, Defaults&) {
  merge_spaces_ = source.remove_extra_whitespaces > 0;
  std::vector<Trie::Entry> entries;
  scores_.resize(vocab.size());
  float worst = std::numeric_limits<float>::max();
  for (int32_t id = 0; id < static_cast<int32_t>(vocab.size()); ++id) {
    if (vocab.is(id, kNormal)) worst = std::min(worst, vocab.score(id));
    if (!vocab.is(id, kNormal | kUserDefined | kUnused)) continue;
    scores_[id] = vocab.is(id, kUserDefined) ? 0.0f : vocab.score(id);
    entries.push_back({vocab.text(id), id});
  }
  unknown_score_ = worst - kUnknownPenalty;
  if (Status status = charsmap_.load(source.charsmap); !status.ok()) return status;
  return tokens_.build(std::move(entries));
}

// Replaces what the charsmap replaces, and writes spaces as U+2581: before the text and, where they are
// merged, once between words.
std::string Unigram::normalise(std::string_view text, bool prefix) const {
  std::string out;
  bool in_word = false, prefixed = false;
  const auto add = [&](char byte) {
    if (byte == ' ') {
      in_word = false;
      if (!merge_spaces_) out.append(kEscapedSpace);
      return;
    }
    if (!in_word && (merge_spaces_ || (prefix && !prefixed))) {
      out.append(kEscapedSpace);
      prefixed = true;
    }
    in_word = true;
    out.push_back(byte);
  };
  for (size_t at = 0; at < text.size() && out.size() <= kLongestNormalised;) {
    auto [part, consumed] = charsmap_.find(text.substr(at));
    if (consumed == 0) {
      const Utf8Step step = utf8_step(text.data() + at, text.size() - at);
      const bool is_character = step.kind == Utf8Step::kCharacter;
      consumed = is_character ? step.size : 1;
      part = is_character ? text.substr(at, consumed) : kReplacementText;
    }
    for (const char byte : part) add(byte);
    at += consumed;
  }
  return out;
}

// Viterbi, forwards; the first of equally good ways stays.
std::vector<Unigram::Step> Unigram::best_steps(std::string_view text) const {
  std::vector<Step> steps(text.size() + 1, {std::numeric_limits<double>::lowest(), kNoToken, 0});
  steps[0].score = 0;
  const auto offer = [&](size_t place, double score, int32_t token, size_t from) {
    if (score > steps[place].score) steps[place] = {score, token, static_cast<uint32_t>(from)};
  };
  for (size_t from = 0; from < text.size();) {
    const size_t character = utf8_step(text.data() + from, text.size() - from).size;
    const double before = steps[from].score;
    bool covered = false;
    uint32_t node = Trie::kRoot;
    for (size_t at = from; at < text.size(); ++at) {
      node = tokens_.child(node, text[at]);
      if (node == Trie::kNone) break;
      const int32_t id = tokens_.id(node);
      if (id == kNoToken) continue;
      covered |= at + 1 - from == character;
      offer(at + 1, before + scores_[id], id, from);
    }
    if (!covered) offer(from + character, before + unknown_score_, kNoToken, from);
    from += character;
  }
  return steps;
}

Status Unigram::encode(const Vocab&, const Specials& specials, const Stretch& stretch,
                       std::vector<int32_t>& ids) const {
  const std::string text = normalise(stretch.text, specials.add_space_prefix);
  if (text.size() > kLongestNormalised) return failed("a text of more than 1 GiB when normalised");
  const std::vector<Step> steps = best_steps(text);
  const size_t begin = ids.size();
  bool unknown_after = false;
  for (size_t at = text.size(); at > 0; at = steps[at].from) {
    const bool unknown = steps[at].token == kNoToken;
    if (!unknown) ids.push_back(steps[at].token);
    if (unknown && !unknown_after && specials.unknown != kNoToken) ids.push_back(specials.unknown);
    unknown_after = unknown;
  }
  std::reverse(ids.begin() + static_cast<std::ptrdiff_t>(begin), ids.end());
  return {};
}

void Unigram::append_bytes(std::string_view token, std::string& out) const { unescape_spaces(token, out); }

}  // namespace ostinato::tokenizer
