// What a kind of vocabulary does: one class for each value of tokenizer.ggml.model (the table is in
// models.cpp).
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/source.h"
#include "tokenizer/specials.h"
#include "tokenizer/status.h"
#include "tokenizer/vocab.h"

namespace ostinato::tokenizer {

// A stretch of text between special tokens.
struct Stretch {
  std::string_view text;
  bool first;  // it begins the text or follows a special token
};

class Model {
 public:
  Model() = default;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  virtual ~Model() = default;

  // Comes before the special tokens are found; may change what they are by default.
  virtual Status build(const Source& source, const Vocab& vocab, Defaults& defaults) = 0;

  // Appends the ids of `stretch`.
  virtual Status encode(const Vocab& vocab, const Specials& specials, const Stretch& stretch,
                        std::vector<int32_t>& ids) const = 0;

  // Appends the bytes that the text of a normal token means.
  virtual void append_bytes(std::string_view token, std::string& out) const = 0;
};

struct ModelKind {
  std::string_view name;  // tokenizer.ggml.model
  std::unique_ptr<Model> (*make)();
  Defaults defaults;
};

// The kind that `tokenizer.ggml.model` names; null where it is not known.
const ModelKind* find_model(std::string_view name);
std::string known_models();  // all names, for an error message

}  // namespace ostinato::tokenizer
