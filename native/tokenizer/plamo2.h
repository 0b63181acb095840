// PLaMo 2: the tokens with the least sum of costs, found from the end of the text to its beginning.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/model.h"
#include "tokenizer/trie.h"

namespace ostinato::tokenizer {

class Plamo2 : public Model {
 public:
  Status build(const Source& source, const Vocab& vocab, Defaults& defaults) override;

  // A character that no token covers gives its bytes' tokens. A byte order mark at the beginning is dropped.
  Status encode(const Vocab& vocab, const Specials& specials, const Stretch& stretch,
                std::vector<int32_t>& ids) const override;
  void append_bytes(std::string_view token, std::string& out) const override { out.append(token); }

 private:
  // The best way from a place of the text to its end: its first token, the bytes that it takes, the cost of
  // all.
  struct Step {
    int64_t cost;
    int32_t token;  // kNoToken: bytes
    uint32_t size;
  };
  Step best_step(std::string_view text, size_t from, const std::vector<Step>& steps) const;

  Trie tokens_;
  std::vector<int32_t> scores_;  // by id, in units of 1e-4
  std::array<int32_t, 256> byte_tokens_{};
};

}  // namespace ostinato::tokenizer
