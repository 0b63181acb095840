#include "tokenizer/tokenizer.h"

#include <algorithm>

#include "tokenizer/alphabet.h"

namespace ostinato::tokenizer {
namespace {

// GGUF says nothing of the white space that phi-3's special tokens strip, so the model's name must do (as in
// llama.cpp).
bool strips_after_specials(std::string_view name) {
  std::string lower(name);
  for (char& byte : lower) byte = byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte | 0x20) : byte;
  return lower.find("phi-3") != std::string::npos || lower.find("phi3") != std::string::npos;
}

}  // namespace

Status Tokenizer::build(const Source& source) {
  sentencepiece_ = source.model == "llama";
  if (!sentencepiece_ && source.model != "gpt2") {
    return failed("tokenizer.ggml.model '" + std::string(source.model) +
                  "' is not supported; known: llama, gpt2");
  }
  if (Status status = vocab_.load(source); !status.ok()) return status;
  if (!sentencepiece_) {
    if (Status status = bpe_.build(source); !status.ok()) return status;
  }
  const bool add_bos_default = !sentencepiece_ && bpe_.adds_bos();
  if (Status status = specials_.resolve(source, sentencepiece_, add_bos_default, vocab_); !status.ok())
    return status;
  if (sentencepiece_) spm_.build(vocab_, specials_.unknown);
  return partitioner_.build(vocab_, strips_after_specials(source.name));
}

Status Tokenizer::encode(std::string_view text, bool add_special, bool parse_special,
                         std::vector<int32_t>& ids) const {
  if (text.size() > kLongestText) {
    return failed("a text of " + std::to_string(text.size()) + " bytes; at most " +
                  std::to_string(kLongestText));
  }
  if (add_special && specials_.add_bos) ids.push_back(specials_.bos);
  bool after_special = true;  // sentencepiece puts its space at the beginning and after special tokens
  for (const Fragment& fragment : partitioner_.split(vocab_, text, parse_special)) {
    const std::string_view stretch = text.substr(fragment.begin, fragment.end - fragment.begin);
    if (fragment.token != kNoToken) {
      ids.push_back(fragment.token);
    } else if (sentencepiece_) {
      spm_.encode(vocab_, stretch, specials_.add_space_prefix && after_special, ids);
    } else {
      bpe_.encode(vocab_, stretch, ids);
    }
    after_special = fragment.token != kNoToken;
  }
  if (add_special && specials_.add_eos) ids.push_back(specials_.eos);
  return {};
}

void Tokenizer::append_bytes(int32_t id, std::string& out) const {
  const std::string_view text = vocab_.text(id);
  if (vocab_.is(id, kControl | kUnknown | kUserDefined)) {
    out.append(text);
  } else if (vocab_.is(id, kByte)) {
    const int byte = byte_of_token(text);
    if (byte >= 0) out.push_back(static_cast<char>(byte));
  } else if (vocab_.is(id, kNormal)) {
    sentencepiece_ ? unescape_spaces(text, out) : from_alphabet(text, out);
  }  // unused and undefined tokens mean nothing
}

Status Tokenizer::check(std::span<const int32_t> ids) const {
  const auto bad = std::find_if(ids.begin(), ids.end(), [this](int32_t id) { return !vocab_.contains(id); });
  return bad == ids.end() ? Status{} : failed(bad_id(*bad, bad - ids.begin()));
}

std::string Tokenizer::bad_id(int64_t id, size_t position) const {
  return "token id " + std::to_string(id) + " at position " + std::to_string(position) +
         ": the vocabulary has ids 0 to " + std::to_string(vocab_.size() - 1);
}

}  // namespace ostinato::tokenizer
