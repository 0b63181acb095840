// Special tokens: which ones a file has, which end a generation, and what encode adds by default.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "tokenizer/source.h"
#include "tokenizer/status.h"
#include "tokenizer/vocab.h"

namespace ostinato::tokenizer {

struct Specials {
  int32_t bos = kNoToken, eos = kNoToken, eot = kNoToken, eom = kNoToken, unknown = kNoToken;
  bool add_bos = false, add_eos = false, add_space_prefix = false;
  std::vector<int32_t> stop;  // ends of generation, ascending

  // Reads them from the file's metadata, or finds them by their known texts, by the rules of llama.cpp's
  // llama_vocab::load (but </s> ends a generation only where it is a control token, and there are no default
  // ids for byte-level BPE). Marks the control tokens that the file forgot to mark. `add_bos_default` is the
  // pre-tokenizer's.
  Status resolve(const Source& source, bool sentencepiece, bool add_bos_default, Vocab& vocab);

 private:
  Status read_ids(const Source& source, bool sentencepiece, const Vocab& vocab);
  Status read_switches(const Source& source, bool sentencepiece, bool add_bos_default);
  void find_stops(Vocab& vocab);
};

}  // namespace ostinato::tokenizer
