// The table of vocabulary kinds, and the special tokens that each has where the file does not say.
#include "tokenizer/bpe.h"
#include "tokenizer/model.h"
#include "tokenizer/plamo2.h"
#include "tokenizer/rwkv.h"
#include "tokenizer/spm.h"
#include "tokenizer/unigram.h"
#include "tokenizer/wordpiece.h"

namespace ostinato::tokenizer {
namespace {

template <class T>
std::unique_ptr<Model> make() {
  return std::make_unique<T>();
}

// The ids are those of sentencepiece's own trainer, BERT's first vocabulary, T5's and PLaMo 2's. There are
// none for byte-level BPE (llama.cpp has 11 for BOS and EOS).
constexpr ModelKind kKinds[] = {
    {"llama",
     make<Spm>,
     {.bos = 1, .eos = 2, .unknown = 0, .add_bos = true, .space_prefix = SpacePrefix::kUnlessRefused}},
    {"gpt2", make<Bpe>, {}},
    {"gemma4", make<Bpe>, {}},
    {"whitespace", make<Bpe>, {}},
    {"bert",
     make<WordPiece>,
     {.bos = 101, .unknown = 100, .separator = 102, .frames = true, .space_prefix = SpacePrefix::kAlways}},
    {"t5", make<Unigram>, {.eos = 1, .unknown = 2, .add_eos = true, .space_prefix = SpacePrefix::kIfAsked}},
    {"rwkv", make<Rwkv>, {.bare = true}},
    {"plamo2", make<Plamo2>, {.bos = 1, .eos = 2, .unknown = 0, .bare = true}},
};

}  // namespace

const ModelKind* find_model(std::string_view name) {
  for (const ModelKind& kind : kKinds) {
    if (kind.name == name) return &kind;
  }
  return nullptr;
}

std::string known_models() {
  std::string names;
  for (const ModelKind& kind : kKinds) names.append(names.empty() ? "" : ", ").append(kind.name);
  return names;
}

}  // namespace ostinato::tokenizer
