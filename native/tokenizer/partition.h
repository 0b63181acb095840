// Cuts a text at the special tokens that stand in it literally.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/status.h"
#include "tokenizer/vocab.h"

namespace ostinato::tokenizer {

// A stretch of text, or (token >= 0) a special token found in it.
struct Fragment {
  uint32_t begin, end;  // bytes
  int32_t token;
};

// Finds user-defined tokens always, control and unknown tokens when asked to. The longest token wins, then
// the lower id, then the earlier place, as in llama.cpp's tokenizer_st_partition.
class Partitioner {
 public:
  // `strip_after`: white space that follows a special token belongs to it, except after <unk>, <s>,
  // <|endoftext|>.
  Status build(const Vocab& vocab, bool strip_after);
  std::vector<Fragment> split(const Vocab& vocab, std::string_view text, bool parse_special) const;

 private:
  struct Match {
    uint32_t begin, size;
    int32_t token;
  };
  // For each first byte, the lengths of the special tokens that begin so.
  using Lengths = std::array<std::vector<uint32_t>, 256>;

  std::vector<Match> find_all(const Vocab& vocab, std::string_view text, bool parse_special) const;
  bool strips_after(int32_t token) const;

  Lengths user_defined_, all_;
  bool strip_after_ = false;
  std::array<int32_t, 3> unstripped_{kNoToken, kNoToken, kNoToken};
};

}  // namespace ostinato::tokenizer
