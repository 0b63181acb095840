// Ids back to text, all at once or one by one.
#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "tokenizer/tokenizer.h"
#include "tokenizer/unicode.h"

namespace ostinato::tokenizer {

struct DecodeOptions {
  bool skip_special = false;  // control and unknown tokens mean nothing
  // The ids follow earlier text. Otherwise the first token (that is not skipped) loses the space that encode
  // put before the text, where the vocabulary wants one.
  bool continued = false;
};

// The bytes of a sequence of ids, token by token. Ids must be of the vocabulary.
class ByteDecoder {
 public:
  ByteDecoder(const Tokenizer& tokenizer, DecodeOptions options);
  void push(int32_t id, std::string& out);

 private:
  const Tokenizer& tokenizer_;
  bool skip_special_, strip_space_;
};

// The same as text: every push gives whole characters only, malformed bytes become U+FFFD. What all pushes
// and the flush give together is what decode gives for the ids.
class StreamDecoder {
 public:
  StreamDecoder(const Tokenizer& tokenizer, DecodeOptions options) : bytes_(tokenizer, options) {}
  void push(int32_t id, std::string& out);
  void flush(std::string& out) { text_.flush(out); }

 private:
  ByteDecoder bytes_;
  Utf8Stream text_;
  std::string piece_;
};

std::string decode(const Tokenizer& tokenizer, std::span<const int32_t> ids, DecodeOptions options);
std::string decode_bytes(const Tokenizer& tokenizer, std::span<const int32_t> ids, DecodeOptions options);

}  // namespace ostinato::tokenizer
