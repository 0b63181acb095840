#include "tokenizer/pretokenize.h"

#include "tokenizer/matcher.h"
#include "tokenizer/unicode.h"

namespace ostinato::tokenizer {

Status WordSplitter::build(const PreTokenizer& pre) {
  patterns_.resize(pre.patterns.size());
  for (size_t i = 0; i < patterns_.size(); ++i) {
    if (Status status = patterns_[i].compile(pre.patterns[i]); !status.ok()) return status;
  }
  return {};
}

void WordSplitter::split(std::string_view text, std::vector<uint32_t>& ends) const {
  if (text.empty()) return;
  const Characters characters(text);
  std::vector<uint32_t> pieces{characters.count()}, finer;
  for (const Pattern& pattern : patterns_) {
    Matcher matcher(pattern, characters);
    finer.clear();
    uint32_t begin = 0;
    for (const uint32_t end : pieces) {
      matcher.cut(begin, end, finer);
      begin = end;
    }
    pieces.swap(finer);
  }
  for (const uint32_t end : pieces) ends.push_back(characters.offset(end));
}

}  // namespace ostinato::tokenizer
