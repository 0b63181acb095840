// What a tokenizer is built from: the metadata of a GGUF file, checked by nobody yet.
#pragma once
#include <cstdint>
#include <string_view>

namespace ostinato::tokenizer {

// A GGUF array as it lies in the file. Strings: each a little-endian u64 length and its bytes. Others: 4-byte
// elements.
struct RawArray {
  std::string_view bytes;
  uint64_t count = 0;
  bool present = false;
};

constexpr int64_t kAbsent = -1;

struct Source {
  std::string_view model;         // tokenizer.ggml.model (see models.cpp)
  std::string_view pre;           // tokenizer.ggml.pre; empty: "default"
  std::string_view name;          // general.name and general.architecture: some vocabularies' special tokens
  std::string_view architecture;  // strip white space, and the file does not say it elsewhere
  RawArray tokens, merges;        // strings
  RawArray scores;                // float32
  RawArray types;                 // int32, TokenType
  RawArray charsmap;              // bytes: tokenizer.ggml.precompiled_charsmap
  // Ids and switches, kAbsent where the file has none.
  int64_t bos = kAbsent, eos = kAbsent, eot = kAbsent, eom = kAbsent, unknown = kAbsent, separator = kAbsent;
  int64_t add_bos = kAbsent, add_eos = kAbsent, add_space_prefix = kAbsent;
  int64_t remove_extra_whitespaces = kAbsent, lowercase = kAbsent, strip_accents = kAbsent;
};

}  // namespace ostinato::tokenizer
