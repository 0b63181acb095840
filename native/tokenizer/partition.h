// Cuts a text at the special tokens that stand in it literally.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/source.h"
#include "tokenizer/status.h"
#include "tokenizer/vocab.h"

namespace ostinato::tokenizer {

// A stretch of text, or (token >= 0) a special token found in it.
struct Fragment {
  uint32_t begin, end;  // bytes
  int32_t token;
};

// Which special tokens take white space beside them. GGUF does not say: it follows from names, as in
// llama.cpp.
struct Stripping {
  bool phi3 = false;           // white space after all but <unk>, <s>, <|endoftext|>
  std::string_view mask = {};  // white space before this token; empty: none
};
Stripping stripping(const Source& source);

// Finds user-defined tokens always, control and unknown tokens when asked to. The longest token wins, then
// the lower id, then the earlier place, as in llama.cpp's tokenizer_st_partition.
class Partitioner {
 public:
  Status build(const Vocab& vocab, const Stripping& stripping);
  std::vector<Fragment> split(const Vocab& vocab, std::string_view text, bool parse_special) const;

 private:
  struct Match {
    uint32_t begin, size;
    int32_t token;
  };
  // For each first byte, the lengths of the special tokens that begin so.
  using Lengths = std::array<std::vector<uint32_t>, 256>;

  void take_spaces(std::string_view text, const Match& match, std::vector<bool>& taken) const;
  std::vector<Match> find_all(const Vocab& vocab, std::string_view text, bool parse_special) const;
  bool strips_after(int32_t token) const;

  Lengths user_defined_, all_;
  bool strip_after_ = false;
  int32_t strip_before_ = kNoToken;
  std::array<int32_t, 3> unstripped_{kNoToken, kNoToken, kNoToken};
};

}  // namespace ostinato::tokenizer
