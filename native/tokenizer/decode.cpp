#include "tokenizer/decode.h"

namespace ostinato::tokenizer {

ByteDecoder::ByteDecoder(const Tokenizer& tokenizer, DecodeOptions options)
    : tokenizer_(tokenizer),
      skip_special_(options.skip_special),
      strip_space_(!options.continued && tokenizer.specials().add_space_prefix) {}

void ByteDecoder::push(int32_t id, std::string& out) {
  if (skip_special_ && tokenizer_.is_control(id)) return;
  const size_t begin = out.size();
  tokenizer_.append_bytes(id, out);
  if (strip_space_ && out.size() > begin && out[begin] == ' ') out.erase(begin, 1);
  strip_space_ = false;
}

void StreamDecoder::push(int32_t id, std::string& out) {
  piece_.clear();
  bytes_.push(id, piece_);
  text_.push(piece_, out);
}

std::string decode(const Tokenizer& tokenizer, std::span<const int32_t> ids, DecodeOptions options) {
  StreamDecoder decoder(tokenizer, options);
  std::string text;
  for (const int32_t id : ids) decoder.push(id, text);
  decoder.flush(text);
  return text;
}

std::string decode_bytes(const Tokenizer& tokenizer, std::span<const int32_t> ids, DecodeOptions options) {
  ByteDecoder decoder(tokenizer, options);
  std::string bytes;
  for (const int32_t id : ids) decoder.push(id, bytes);
  return bytes;
}

}  // namespace ostinato::tokenizer
