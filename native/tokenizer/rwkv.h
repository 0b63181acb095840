// RWKV's World vocabulary: the longest token from each place on. Its file writes bytes as Python does: "\n",
// "\xe3".
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/model.h"
#include "tokenizer/trie.h"

namespace ostinato::tokenizer {

class Rwkv : public Model {
 public:
  Status build(const Source& source, const Vocab& vocab, Defaults& defaults) override;

  // A byte that no token begins with is the unknown token, or dropped where there is none.
  Status encode(const Vocab& vocab, const Specials& specials, const Stretch& stretch,
                std::vector<int32_t>& ids) const override;
  void append_bytes(std::string_view token, std::string& out) const override;

 private:
  Trie tokens_;
};

}  // namespace ostinato::tokenizer
