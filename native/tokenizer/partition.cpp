#include "tokenizer/partition.h"

#include <algorithm>
#include <string>
#include <tuple>

#include "tokenizer/pretokenize.h"

namespace ostinato::tokenizer {
namespace {

constexpr int kSpecial = kControl | kUserDefined | kUnknown;
constexpr size_t kLongestSpecial = 1024;  // bounds the work at one place of a text

void insert_sorted(std::vector<uint32_t>& lengths, uint32_t length) {
  const auto at = std::lower_bound(lengths.begin(), lengths.end(), length);
  if (at == lengths.end() || *at != length) lengths.insert(at, length);
}

bool is_ascii_space(char byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

std::string lower_ascii(std::string_view text) {
  std::string lower(text);
  for (char& byte : lower) byte = byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte | 0x20) : byte;
  return lower;
}

}  // namespace

Stripping stripping(const Source& source) {
  const PreTokenizer* pre = find_pretokenizer(source.pre);
  const std::string name = lower_ascii(source.name);
  const auto has = [](std::string_view text, std::string_view part) { return text.find(part) != text.npos; };
  if ((pre && pre->is(kStripMask)) || has(source.architecture, "nomic-bert-moe") ||
      has(source.architecture, "jina-bert-v3")) {
    return {.mask = "<mask>"};
  }
  if (has(name, "phi-3") || has(name, "phi3")) return {.phi3 = true};
  if (has(name, "modern-bert")) return {.mask = "[MASK]"};
  return {};
}

Status Partitioner::build(const Vocab& vocab, const Stripping& stripping) {
  strip_after_ = stripping.phi3;
  strip_before_ = stripping.mask.empty() ? kNoToken : vocab.find(stripping.mask);
  unstripped_ = {vocab.find("<unk>"), vocab.find("<s>"), vocab.find("<|endoftext|>")};
  for (int32_t id = 0; id < static_cast<int32_t>(vocab.size()); ++id) {
    if (!vocab.is(id, kSpecial)) continue;
    const std::string_view text = vocab.text(id);
    if (text.empty()) continue;
    if (text.size() > kLongestSpecial) {
      return failed("tokenizer.ggml.tokens: special token " + std::to_string(id) + " has " +
                    std::to_string(text.size()) + " bytes, at most " + std::to_string(kLongestSpecial) +
                    " are allowed");
    }
    const auto first = static_cast<uint8_t>(text[0]);
    insert_sorted(all_[first], static_cast<uint32_t>(text.size()));
    if (!vocab.is(id, kControl | kUnknown)) {
      insert_sorted(user_defined_[first], static_cast<uint32_t>(text.size()));
    }
  }
  return {};
}

std::vector<Partitioner::Match> Partitioner::find_all(const Vocab& vocab, std::string_view text,
                                                      bool parse_special) const {
  const Lengths& lengths = parse_special ? all_ : user_defined_;
  const int excluded = parse_special ? 0 : kControl | kUnknown;
  std::vector<Match> matches;
  for (uint32_t at = 0; at < text.size(); ++at) {
    for (const uint32_t size : lengths[static_cast<uint8_t>(text[at])]) {
      if (size > text.size() - at) break;
      const int32_t id = vocab.find(text.substr(at, size));
      if (id != kNoToken && vocab.is(id, kSpecial) && !vocab.is(id, excluded))
        matches.push_back({at, size, id});
    }
  }
  return matches;
}

bool Partitioner::strips_after(int32_t token) const {
  return strip_after_ && std::find(unstripped_.begin(), unstripped_.end(), token) == unstripped_.end();
}

// White space beside a token that belongs to it.
void Partitioner::take_spaces(std::string_view text, const Match& match, std::vector<bool>& taken) const {
  const auto is_free = [&](uint32_t at) { return !taken[at] && is_ascii_space(text[at]); };
  if (strips_after(match.token)) {
    for (uint32_t at = match.begin + match.size; at < text.size() && is_free(at); ++at) taken[at] = true;
  }
  if (match.token == strip_before_) {
    for (uint32_t at = match.begin; at > 0 && is_free(at - 1); --at) taken[at - 1] = true;
  }
}

std::vector<Fragment> Partitioner::split(const Vocab& vocab, std::string_view text,
                                         bool parse_special) const {
  const auto size = static_cast<uint32_t>(text.size());
  std::vector<Match> matches = find_all(vocab, text, parse_special);
  if (matches.empty()) return size ? std::vector<Fragment>{{0, size, kNoToken}} : std::vector<Fragment>{};

  std::sort(matches.begin(), matches.end(), [](const Match& a, const Match& b) {
    return std::tie(b.size, a.token, a.begin) < std::tie(a.size, b.token, b.begin);
  });
  std::vector<bool> taken(size);  // bytes of tokens, and white space that they stripped
  std::vector<Fragment> tokens;
  for (const Match& match : matches) {
    const auto begin = taken.begin() + match.begin, end = begin + match.size;
    if (std::find(begin, end, true) != end) continue;
    std::fill(begin, end, true);
    tokens.push_back({match.begin, match.begin + match.size, match.token});
    take_spaces(text, match, taken);
  }
  std::sort(tokens.begin(), tokens.end(),
            [](const Fragment& a, const Fragment& b) { return a.begin < b.begin; });

  std::vector<Fragment> fragments;
  const auto add_text = [&](uint32_t begin, uint32_t end) {
    while (begin < end && taken[begin]) ++begin;  // stripped
    while (begin < end && taken[end - 1]) --end;
    if (begin < end) fragments.push_back({begin, end, kNoToken});
  };
  uint32_t done = 0;
  for (const Fragment& token : tokens) {
    add_text(done, token.begin);
    fragments.push_back(token);
    done = token.end;
  }
  add_text(done, size);
  return fragments;
}

}  // namespace ostinato::tokenizer
