#include "tokenizer/plamo2.h"

#include <algorithm>
#include <cmath>

#include "tokenizer/spelling.h"
#include "tokenizer/unicode.h"

namespace ostinato::tokenizer {
namespace {

constexpr int32_t kUnknownScore = -10'000'000, kInvalidScore = -20'000'000;  // in units of 1e-4
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

int32_t scaled(float score) {
  if (!std::isfinite(score)) return kInvalidScore;
  return static_cast<int32_t>(std::clamp(std::round(score * 1e4), -2e9, 2e9));
}

}  // namespace

Status Plamo2::build(const Source&, const Vocab& vocab, Defaults&) {
  for (int byte = 0; byte < 256; ++byte) {
    byte_tokens_[byte] = vocab.find(byte_token(byte));
    if (byte_tokens_[byte] == kNoToken) {
      return failed("tokenizer.ggml.tokens has no token " + byte_token(byte) +
                    ", and plamo2 needs every byte's");
    }
  }
  std::vector<Trie::Entry> entries;
  scores_.resize(vocab.size());
  for (int32_t id = 0; id < static_cast<int32_t>(vocab.size()); ++id) {
    if (vocab.is(id, kByte | kControl | kUnknown)) continue;  // not to be had by writing them out
    scores_[id] = scaled(vocab.score(id));
    if (scores_[id] > kInvalidScore) entries.push_back({vocab.text(id), id});
  }
  return tokens_.build(std::move(entries));
}

// The best of the tokens that begin at `from`, the longest of equally good ones.
Plamo2::Step Plamo2::best_step(std::string_view text, size_t from, const std::vector<Step>& steps) const {
  Step best{INT64_MAX, kNoToken, 0};
  uint32_t node = Trie::kRoot;
  for (size_t at = from; at < text.size(); ++at) {
    node = tokens_.child(node, text[at]);
    if (node == Trie::kNone) break;
    const int32_t id = tokens_.id(node);
    if (id == kNoToken || steps[at + 1].cost == INT64_MAX) continue;
    const int64_t cost = steps[at + 1].cost - scores_[id];
    if (cost <= best.cost) best = {cost, id, static_cast<uint32_t>(at + 1 - from)};
  }
  const uint32_t character = utf8_step(text.data() + from, text.size() - from).size;
  const int64_t unknown = steps[from + character].cost - kUnknownScore;
  return unknown < best.cost ? Step{unknown, kNoToken, character} : best;
}

Status Plamo2::encode(const Vocab&, const Specials&, const Stretch& stretch,
                      std::vector<int32_t>& ids) const {
  std::string_view text = stretch.text;
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  // Only places between characters have a way to the end.
  std::vector<Step> steps(text.size() + 1, {INT64_MAX, kNoToken, 0});
  steps[text.size()].cost = 0;
  const Characters characters(text);
  for (uint32_t at = characters.count(); at-- > 0;) {
    const uint32_t from = characters.offset(at);
    steps[from] = best_step(text, from, steps);
  }
  for (size_t at = 0; at < text.size(); at += steps[at].size) {
    if (steps[at].token != kNoToken) {
      ids.push_back(steps[at].token);
      continue;
    }
    for (const char byte : text.substr(at, steps[at].size))
      ids.push_back(byte_tokens_[static_cast<uint8_t>(byte)]);
  }
  return {};
}

}  // namespace ostinato::tokenizer
