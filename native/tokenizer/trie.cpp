#include "tokenizer/trie.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace ostinato::tokenizer {
namespace {

// The first eight bytes as a number that orders as they do: most comparisons need no more.
uint64_t head(std::string_view text) {
  uint64_t key = 0;
  for (size_t i = 0; i < sizeof(key); ++i)
    key = key << 8 | (i < text.size() ? static_cast<uint8_t>(text[i]) : 0);
  return key;
}

// In order of texts; of equal ones the order stays.
void sort(std::vector<Trie::Entry>& entries) {
  std::vector<std::pair<uint64_t, Trie::Entry>> keyed;
  keyed.reserve(entries.size());
  for (const Trie::Entry& entry : entries) keyed.emplace_back(head(entry.text), entry);
  std::stable_sort(keyed.begin(), keyed.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : a.second.text < b.second.text;
  });
  for (size_t i = 0; i < entries.size(); ++i) entries[i] = keyed[i].second;
}

}  // namespace

Status Trie::build(std::vector<Entry> entries) {
  for (const Entry& entry : entries) {
    if (entry.text.size() <= kLongest) continue;
    return failed("tokenizer.ggml.tokens: token " + std::to_string(entry.id) + " has " +
                  std::to_string(entry.text.size()) + " bytes, at most " + std::to_string(kLongest) +
                  " are allowed");
  }
  sort(entries);
  // Level by level: a node stands for the entries [begin, end), which share their first `depth` bytes.
  struct Span {
    uint32_t begin, end, depth;
  };
  std::vector<Span> spans{{0, static_cast<uint32_t>(entries.size()), 0}};
  labels_.push_back('\0');
  for (uint32_t node = 0; node < spans.size(); ++node) {
    auto [begin, end, depth] = spans[node];
    nodes_.push_back({static_cast<uint32_t>(spans.size()), 0, kNoToken});
    for (; begin < end && entries[begin].text.size() == depth; ++begin) {
      if (depth > 0) nodes_[node].id = entries[begin].id;
    }
    while (begin < end) {
      const char label = entries[begin].text[depth];
      uint32_t after = begin + 1;
      while (after < end && entries[after].text[depth] == label) ++after;
      spans.push_back({begin, after, depth + 1});
      labels_.push_back(label);
      ++nodes_[node].count;
      begin = after;
    }
  }
  return {};
}

uint32_t Trie::child(uint32_t node, char byte) const {
  const Node& parent = nodes_[node];
  const char* labels = labels_.data() + parent.children;
  const void* found = std::memchr(labels, static_cast<unsigned char>(byte), parent.count);
  return found ? parent.children + static_cast<uint32_t>(static_cast<const char*>(found) - labels) : kNone;
}

Trie::Match Trie::longest(std::string_view text) const {
  Match match;
  uint32_t node = kRoot;
  for (size_t at = 0; at < text.size(); ++at) {
    node = child(node, text[at]);
    if (node == kNone) break;
    if (id(node) != kNoToken) match = {id(node), at + 1};
  }
  return match;
}

}  // namespace ostinato::tokenizer
