// Joining neighbours in order of priority, until none may be joined: the heart of both tokenizers. O(n log
// n).
#pragma once
#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/unicode.h"

namespace ostinato::tokenizer {

constexpr uint32_t kNeverJoin = UINT32_MAX;

// A piece of the text, linked to its neighbours. Pieces that were joined to the left have size 0.
struct Symbol {
  uint32_t begin, size;    // bytes of the text
  int32_t previous, next;  // -1: none
  uint64_t hash;           // for the policy's use
};

// Storage that outlives a word.
struct MergeSpace {
  struct Candidate {
    uint64_t order;  // priority, then place: smallest first
    uint32_t size;   // of both symbols together; another size means that one of them has changed since

    bool operator<(const Candidate& other) const {
      return order > other.order;
    }  // std heaps have the largest on top
  };
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;

  // One symbol for every character of `text`, and for every stretch that is not one (see Utf8Step).
  void split(std::string_view text) {
    symbols.clear();
    for (uint32_t at = 0; at < text.size();) {
      const uint32_t size = utf8_step(text.data() + at, text.size() - at).size;
      const auto index = static_cast<int32_t>(symbols.size());
      symbols.push_back({at, size, index - 1, at + size == text.size() ? -1 : index + 1, 0});
      at += size;
    }
  }
};

// Policy: `uint32_t priority(left, right)` of joining two symbols, smaller first, or kNeverJoin; `void
// changed(symbol)` after a symbol has come to be or has grown.
template <class Policy>
void merge(MergeSpace& space, Policy&& policy) {
  auto& symbols = space.symbols;
  auto& heap = space.heap;
  heap.clear();
  const auto consider = [&](int32_t left, int32_t right) {
    if (left < 0 || right < 0) return false;
    const uint32_t priority = policy.priority(symbols[left], symbols[right]);
    if (priority == kNeverJoin) return false;
    heap.push_back(
        {uint64_t{priority} << 32 | static_cast<uint32_t>(left), symbols[left].size + symbols[right].size});
    return true;
  };
  for (Symbol& symbol : symbols) policy.changed(symbol);
  for (size_t i = 1; i < symbols.size(); ++i) consider(static_cast<int32_t>(i - 1), static_cast<int32_t>(i));
  std::make_heap(heap.begin(), heap.end());
  while (!heap.empty()) {
    const auto [order, size] = heap.front();
    std::pop_heap(heap.begin(), heap.end());
    heap.pop_back();
    const auto index = static_cast<int32_t>(order & UINT32_MAX);
    Symbol& left = symbols[index];
    if (left.size == 0 || left.next < 0) continue;
    Symbol& right = symbols[left.next];
    if (left.size + right.size != size) continue;
    left.size = size;
    left.next = right.next;
    right.size = 0;
    if (left.next >= 0) symbols[left.next].previous = index;
    policy.changed(left);
    if (consider(left.previous, index)) std::push_heap(heap.begin(), heap.end());
    if (consider(index, left.next)) std::push_heap(heap.begin(), heap.end());
  }
}

}  // namespace ostinato::tokenizer
