#include "tokenizer/pretokenize.h"

#include <algorithm>

namespace ostinato::tokenizer {
namespace {

// The characters of a text, as the matcher sees them: positions count characters.
class Characters {
 public:
  explicit Characters(std::string_view text) : text_(text) {
    Classifier classify;
    classes_.reserve(text.size());
    starts_.reserve(text.size() + 1);
    for (size_t at = 0; at < text.size();) {
      const Utf8Step step = utf8_step(text.data() + at, text.size() - at);
      classes_.push_back(step.kind == Utf8Step::kCharacter ? classify(step.code) : 0);
      starts_.push_back(static_cast<uint32_t>(at));
      at += step.size;
    }
    starts_.push_back(static_cast<uint32_t>(text.size()));
  }

  uint32_t count() const { return static_cast<uint32_t>(classes_.size()); }
  uint16_t classes(uint32_t at) const { return classes_[at]; }
  uint32_t offset(uint32_t at) const { return starts_[at]; }
  char first_byte(uint32_t at) const { return text_[starts_[at]]; }

 private:
  std::string_view text_;
  std::vector<uint16_t> classes_;
  std::vector<uint32_t> starts_;  // byte offsets; one more than there are characters
};

// Matches one rule at the beginning of [at, end). Every function returns where the match ends, or `at` for
// none.
class Matcher {
 public:
  Matcher(const Characters& text, uint32_t end) : text_(text), end_(end) {}

  uint32_t match(const Rule& rule, uint32_t at) const {
    switch (rule.shape) {
      case Rule::kRun:
        return run(rule, at);
      case Rule::kThroughLast:
        return through_last(rule, at);
      case Rule::kBeforeOther:
        return before_other(rule, at);
      case Rule::kContraction:
        return contraction(at, 0);
      case Rule::kAnyContraction:
        return contraction(at, 0x20);
    }
    return at;
  }

 private:
  uint32_t skip(Set set, uint32_t at, uint32_t limit) const {
    while (at < limit && set.has(text_.classes(at))) ++at;
    return at;
  }

  uint32_t body_and_tail(const Rule& rule, uint32_t at) const {
    const uint32_t limit = rule.max ? std::min<uint32_t>(end_, at + rule.max) : end_;
    const uint32_t after = skip(rule.body, at, limit);
    return after - at < rule.min ? at : skip(rule.tail, after, end_);
  }

  uint32_t run(const Rule& rule, uint32_t at) const {
    if (rule.head.has(text_.classes(at))) {
      const uint32_t after = body_and_tail(rule, at + 1);
      if (after > at + 1) return after;
    }
    return rule.needs_head ? at : body_and_tail(rule, at);
  }

  uint32_t through_last(const Rule& rule, uint32_t at) const {
    uint32_t after = skip(rule.body, at, end_);
    while (after > at && !rule.tail.has(text_.classes(after - 1))) --after;
    return after;
  }

  uint32_t before_other(const Rule& rule, uint32_t at) const {
    const uint32_t after = skip(rule.body, at, end_);
    return after > at && after < end_ ? after - 1 : after;
  }

  uint32_t contraction(uint32_t at, char lower) const {
    if (end_ - at < 2 || text_.first_byte(at) != '\'') return at;
    const char first = text_.first_byte(at + 1) | lower;
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
    if (end_ - at < 3) return at;
    const char second = text_.first_byte(at + 2) | lower;
    return (second == 'e' && (first == 'r' || first == 'v')) || (second == 'l' && first == 'l') ? at + 3 : at;
  }

  const Characters& text_;
  uint32_t end_;
};

uint32_t match_any(Pass pass, const Matcher& matcher, uint32_t at) {
  for (const Rule& rule : pass) {
    const uint32_t after = matcher.match(rule, at);
    if (after > at) return after;
  }
  return at;
}

void cut(Pass pass, const Characters& text, uint32_t begin, uint32_t end, std::vector<uint32_t>& ends) {
  const Matcher matcher(text, end);
  uint32_t done = begin;  // all before it is in `ends`
  for (uint32_t at = begin; at < end;) {
    const uint32_t after = match_any(pass, matcher, at);
    if (after == at) {
      ++at;
      continue;
    }
    if (at > done) ends.push_back(at);
    ends.push_back(after);
    at = done = after;
  }
  if (done < end) ends.push_back(end);
}

}  // namespace

void split_words(const PreTokenizer& pre, std::string_view text, std::vector<uint32_t>& ends) {
  if (text.empty()) return;
  const Characters characters(text);
  std::vector<uint32_t> pieces{characters.count()}, finer;
  for (const Pass pass : pre.passes) {
    finer.clear();
    uint32_t begin = 0;
    for (const uint32_t end : pieces) {
      cut(pass, characters, begin, end, finer);
      begin = end;
    }
    pieces.swap(finer);
  }
  for (const uint32_t end : pieces) ends.push_back(characters.offset(end));
}

}  // namespace ostinato::tokenizer
