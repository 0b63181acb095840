#include "tokenizer/tokenizer.h"

#include <algorithm>

#include "tokenizer/spelling.h"

namespace ostinato::tokenizer {

Status Tokenizer::build(const Source& source) {
  const ModelKind* kind = find_model(source.model);
  if (!kind) {
    return failed("tokenizer.ggml.model '" + std::string(source.model) +
                  "' is not supported; known: " + known_models());
  }
  if (Status status = vocab_.load(source); !status.ok()) return status;
  Defaults defaults = kind->defaults;
  model_ = kind->make();
  if (Status status = model_->build(source, vocab_, defaults); !status.ok()) return status;
  if (Status status = specials_.resolve(source, defaults, vocab_); !status.ok()) return status;
  return partitioner_.build(vocab_, stripping(source));
}

Status Tokenizer::encode(std::string_view text, bool add_special, bool parse_special,
                         std::vector<int32_t>& ids) const {
  if (text.size() > kLongestText) {
    return failed("a text of " + std::to_string(text.size()) + " bytes; at most " +
                  std::to_string(kLongestText));
  }
  if (add_special && specials_.add_bos) ids.push_back(specials_.bos);
  bool first = true;
  for (const Fragment& fragment : partitioner_.split(vocab_, text, parse_special)) {
    const bool is_text = fragment.token == kNoToken;
    if (is_text) {
      const Stretch stretch{text.substr(fragment.begin, fragment.end - fragment.begin), first};
      if (Status status = model_->encode(vocab_, specials_, stretch, ids); !status.ok()) return status;
    } else {
      ids.push_back(fragment.token);
    }
    first = !is_text;
  }
  if (add_special && specials_.add_eos) ids.push_back(specials_.eos);
  if (add_special && specials_.add_separator) ids.push_back(specials_.separator);
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
    model_->append_bytes(text, out);
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
