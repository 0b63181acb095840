// Special tokens: which ones a file has, which end a generation, and what encode adds by default.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "tokenizer/source.h"
#include "tokenizer/status.h"
#include "tokenizer/vocab.h"

namespace ostinato::tokenizer {

enum class SpacePrefix : uint8_t { kNever, kIfAsked, kUnlessRefused, kAlways };

// What holds where a file says nothing.
struct Defaults {
  // An id that the vocabulary is too small for is none.
  int32_t bos = kNoToken, eos = kNoToken, unknown = kNoToken, separator = kNoToken;
  bool add_bos = false, add_eos = false;
  bool always_bos = false;  // whatever the file says
  bool frames = false;      // texts stand between BOS and separator, whatever the file says
  bool bare = false;        // texts stand alone, whatever the file says
  SpacePrefix space_prefix = SpacePrefix::kNever;
};

struct Specials {
  int32_t bos = kNoToken, eos = kNoToken, eot = kNoToken, eom = kNoToken, unknown = kNoToken;
  int32_t separator = kNoToken;
  bool add_bos = false, add_eos = false, add_separator = false, add_space_prefix = false;
  std::vector<int32_t> stop;  // ends of generation, ascending

  // Reads them from the file's metadata, or finds them by their known texts, by the rules of llama.cpp's
  // llama_vocab::load (but </s> ends a generation only where it is a control token, and there are no default
  // ids for byte-level BPE). Marks the control tokens that the file forgot to mark.
  Status resolve(const Source& source, const Defaults& defaults, Vocab& vocab);

 private:
  Status read_ids(const Source& source, const Defaults& defaults, const Vocab& vocab);
  Status read_switches(const Source& source, const Defaults& defaults);
  void find_stops(Vocab& vocab);
};

}  // namespace ostinato::tokenizer
