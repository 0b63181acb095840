// SentencePiece BPE (llama 2 and its kin): neighbours are joined while the joined text is a token, best score
// first.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/model.h"

namespace ostinato::tokenizer {

class Spm : public Model {
 public:
  Status build(const Source& source, const Vocab& vocab, Defaults& defaults) override;

  // A character that is no token gives its bytes' tokens (<0x0A>), or the unknown token where the vocabulary
  // has none.
  Status encode(const Vocab& vocab, const Specials& specials, const Stretch& stretch,
                std::vector<int32_t>& ids) const override;
  void append_bytes(std::string_view token, std::string& out) const override;

 private:
  struct Policy;
  void encode_bytes(std::string_view piece, int32_t unknown, std::vector<int32_t>& ids) const;

  std::array<int32_t, 256> byte_tokens_{};
};

}  // namespace ostinato::tokenizer
