#include "tokenizer/specials.h"

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

namespace ostinato::tokenizer {
namespace {

using Names = std::span<const std::string_view>;

constexpr std::string_view kEndOfTurn[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>",         "<|endoftext|>",      "<|end_of_text|>",
    "<EOT>",      "_<EOT>",     "[EOT]",   "<｜end▁of▁sentence｜>", "<end_of_utterance>",
};
constexpr std::string_view kEndOfMessage[] = {"<|eom_id|>"};

// Parts of fill-in-the-middle prompts: control tokens, whatever the file says.
constexpr std::string_view kFillPrefix[] = {
    "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>",    "<｜fim▁begin｜>",
    "<PRE>",          "▁<PRE>",       "<|code_prefix|>", "<|prefix|>",
};
constexpr std::string_view kFillSuffix[] = {
    "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>",    "<｜fim▁hole｜>",
    "<SUF>",          "▁<SUF>",       "<|code_suffix|>", "<|suffix|>",
};
constexpr std::string_view kFillMiddle[] = {
    "<|fim_middle|>", "<fim-middle>", "<fim_middle>",    "<｜fim▁end｜>",
    "<MID>",          "▁<MID>",       "<|code_middle|>", "<|middle|>",
};
// These, generated, begin another file: they end the generation too.
constexpr std::string_view kFillPad[] = {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"};
constexpr std::string_view kFillRepository[] = {
    "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>",
};
constexpr std::string_view kFillFile[] = {"<|file_sep|>"};

constexpr std::string_view kStops[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
};
// An end where the file says that it is a control token; otherwise an HTML tag (qwen2 has it as such).
constexpr std::string_view kEndOfSequence = "</s>";
// Structure of a gpt-oss answer: shown, and matched in prompts, like text.
constexpr std::string_view kShown[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};

// The first of the names that is a token becomes a control token.
int32_t find_control(Names names, Vocab& vocab) {
  for (const std::string_view name : names) {
    const int32_t id = vocab.find(name);
    if (id == kNoToken) continue;
    vocab.add_attributes(id, kControl);
    return id;
  }
  return kNoToken;
}

Status read_id(int64_t given, const char* key, const Vocab& vocab, int32_t& id) {
  if (given == kAbsent) return {};
  if (!vocab.contains(given)) {
    return failed(std::string("tokenizer.ggml.") + key + " is " + std::to_string(given) +
                  ", the vocabulary has " + std::to_string(vocab.size()) + " tokens");
  }
  id = static_cast<int32_t>(given);
  return {};
}

class StopSet {
 public:
  explicit StopSet(Vocab& vocab) : vocab_(vocab) {}

  void add(int32_t id) {
    if (id != kNoToken && !has(id)) ids_.push_back(id);
  }
  bool has(int32_t id) const { return std::find(ids_.begin(), ids_.end(), id) != ids_.end(); }
  bool has(std::string_view name) const {
    const int32_t id = vocab_.find(name);
    return id != kNoToken && has(id);
  }
  void remove(std::string_view name, int attributes) {
    const int32_t id = vocab_.find(name);
    if (id == kNoToken || !has(id)) return;
    std::erase(ids_, id);
    vocab_.set_attributes(id, attributes);
  }
  std::vector<int32_t> sorted() {
    std::sort(ids_.begin(), ids_.end());
    return ids_;
  }

 private:
  Vocab& vocab_;
  std::vector<int32_t> ids_;
};

}  // namespace

Status Specials::resolve(const Source& source, const Defaults& defaults, Vocab& vocab) {
  if (Status status = read_ids(source, defaults, vocab); !status.ok()) return status;
  if (Status status = read_switches(source, defaults); !status.ok()) return status;
  find_stops(vocab);
  return {};
}

Status Specials::read_ids(const Source& source, const Defaults& defaults, const Vocab& vocab) {
  const struct {
    int64_t given;
    const char* key;
    int32_t& id;
    int32_t otherwise = kNoToken;
  } ids[] = {
      {source.bos, "bos_token_id", bos, defaults.bos},
      {source.eos, "eos_token_id", eos, defaults.eos},
      {source.eot, "eot_token_id", eot},
      {source.eom, "eom_token_id", eom},
      {source.unknown, "unknown_token_id", unknown, defaults.unknown},
      {source.separator, "seperator_token_id", separator, defaults.separator},  // GGUF spells it so
  };
  for (const auto& entry : ids) {
    entry.id = vocab.contains(entry.otherwise) ? entry.otherwise : kNoToken;
    if (Status status = read_id(entry.given, entry.key, vocab, entry.id); !status.ok()) return status;
  }
  return {};
}

Status Specials::read_switches(const Source& source, const Defaults& defaults) {
  if (source.add_bos > 0 && bos == kNoToken) {
    return failed("tokenizer.ggml.add_bos_token is true, but there is no bos_token_id");
  }
  if (source.add_eos > 0 && eos == kNoToken) {
    return failed("tokenizer.ggml.add_eos_token is true, but there is no eos_token_id");
  }
  if (defaults.frames && (bos == kNoToken || separator == kNoToken)) {
    return failed("tokenizer.ggml.bos_token_id and seperator_token_id are missing, and WordPiece needs them");
  }
  const auto chosen = [](int64_t given, bool otherwise) { return given == kAbsent ? otherwise : given > 0; };
  add_separator = defaults.frames;
  add_bos =
      bos != kNoToken && (chosen(source.add_bos, defaults.add_bos) || defaults.always_bos || defaults.frames);
  add_eos = eos != kNoToken && chosen(source.add_eos, defaults.add_eos) && !defaults.frames;
  if (defaults.bare) add_bos = add_eos = false;
  const bool wanted = chosen(source.add_space_prefix, defaults.space_prefix == SpacePrefix::kUnlessRefused);
  add_space_prefix = defaults.space_prefix == SpacePrefix::kAlways ||
                     (defaults.space_prefix != SpacePrefix::kNever && wanted);
  return {};
}

void Specials::find_stops(Vocab& vocab) {
  if (eot == kNoToken) eot = find_control(kEndOfTurn, vocab);
  if (eom == kNoToken) eom = find_control(kEndOfMessage, vocab);
  for (const Names names : {Names(kFillPrefix), Names(kFillSuffix), Names(kFillMiddle)})
    find_control(names, vocab);

  StopSet stops(vocab);
  for (const Names names : {Names(kFillPad), Names(kFillRepository), Names(kFillFile)}) {
    stops.add(find_control(names, vocab));
  }
  for (const std::string_view& name : kStops) stops.add(find_control({&name, 1}, vocab));
  if (const int32_t id = vocab.find(kEndOfSequence); id != kNoToken && vocab.is(id, kControl)) stops.add(id);
  for (const std::string_view name : kShown) {
    if (const int32_t id = vocab.find(name); id != kNoToken) vocab.set_attributes(id, kUserDefined);
  }
  for (const int32_t id : {eos, eot, eom}) stops.add(id);

  // Where a harmony-like format has its own ends, <|end|> only closes one message.
  const bool calls = stops.has("<|call|>") || stops.has("<|calls|>");
  if (calls && (stops.has("<|return|>") || stops.has("<|flush|>"))) stops.remove("<|end|>", kUserDefined);
  // Beside the own ends of gemma 4 and PLaMo, too, </s> is an HTML tag.
  if (stops.has("<|tool_response>") || stops.has("<|plamo:eos|>")) stops.remove(kEndOfSequence, kNormal);
  stop = stops.sorted();
}

}  // namespace ostinato::tokenizer
