// Token texts as a tree of bytes: all tokens that begin at a place of a text are met on one walk from the
// root.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/status.h"
#include "tokenizer/vocab.h"

namespace ostinato::tokenizer {

class Trie {
 public:
  static constexpr uint32_t kRoot = 0, kNone = UINT32_MAX;
  static constexpr size_t kLongest = 1024;  // bytes of a token: bounds the work at one place of a text

  struct Entry {
    std::string_view text;
    int32_t id;
  };
  // Empty texts are left out; of equal ones the last counts. The texts may go afterwards.
  Status build(std::vector<Entry> entries);

  uint32_t child(uint32_t node, char byte) const;              // or kNone
  int32_t id(uint32_t node) const { return nodes_[node].id; }  // of the token that ends here, or kNoToken

  struct Match {
    int32_t id = kNoToken;
    size_t size = 0;
  };
  Match longest(std::string_view text) const;  // the longest token that begins `text`

 private:
  struct Node {
    uint32_t children, count;  // in nodes_, one after the other
    int32_t id;
  };
  std::vector<Node> nodes_;
  std::string labels_;  // of each node: the byte that leads to it; ascending among siblings
};

}  // namespace ostinato::tokenizer
