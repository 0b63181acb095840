// The table of pre-tokenizers. Each rule stands beside the alternative of the published expression that it
// means; the expressions are those of the models' tokenizer.json files, or of llama.cpp's src/llama-vocab.cpp
// where they differ.
#include "tokenizer/pretokenize.h"

namespace ostinato::tokenizer {
namespace {

constexpr Set of(int bits) { return {static_cast<uint16_t>(bits), false}; }
constexpr Set except(int bits) { return {static_cast<uint16_t>(bits), true}; }

constexpr Set kNothing = of(0);
constexpr uint8_t kNoLimit = 0;

constexpr Rule run(Set body, uint8_t min = 1, uint8_t max = kNoLimit) {
  return {.body = body, .min = min, .max = max};
}
constexpr Rule after_optional(Set head, Set body, Set tail = kNothing) {
  return {.head = head, .body = body, .tail = tail};
}
constexpr Rule after(Set head, Set body) { return {.head = head, .needs_head = true, .body = body}; }

constexpr Rule kContractions = {.shape = Rule::kContraction};        // 's|'t|'re|'ve|'m|'ll|'d
constexpr Rule kAnyContractions = {.shape = Rule::kAnyContraction};  // (?i:'s|'t|'re|'ve|'m|'ll|'d)
constexpr Rule kLineEnds = {
    .shape = Rule::kThroughLast, .body = of(kWhitespace), .tail = of(kNewline)};            // \s*[\r\n]+
constexpr Rule kSpacesBeforeWord = {.shape = Rule::kBeforeOther, .body = of(kWhitespace)};  // \s+(?!\S)
constexpr Rule kSpaces = run(of(kWhitespace));                                              // \s+
constexpr Rule kOneNumber = run(of(kNumber), 1, 1);                                         // \p{N}
constexpr Rule kThreeNumbers = run(of(kNumber), 1, 3);                                      // \p{N}{1,3}

constexpr Rule kGpt2Rules[] = {
    kContractions,
    after_optional(of(kSpace), of(kLetter)),                              //  ?\p{L}+
    after_optional(of(kSpace), of(kNumber)),                              //  ?\p{N}+
    after_optional(of(kSpace), except(kWhitespace | kLetter | kNumber)),  //  ?[^\s\p{L}\p{N}]+
    kSpacesBeforeWord,
    kSpaces,
};
constexpr Pass kGpt2Passes[] = {kGpt2Rules};

constexpr Rule kOneNumberRules[] = {kOneNumber};
constexpr Pass kStarcoderPasses[] = {kOneNumberRules, kGpt2Rules};

constexpr Rule kDefaultPunctuation[] = {run(of(kPunctuation | kAsciiMath))};  // [\p{P}\$\+<=>\^~\|]+
constexpr Rule kNumbersRules[] = {run(of(kNumber))};                          // \p{N}+
constexpr Rule kThreeDigitsRules[] = {run(of(kDigit), 3, 3)};                 // [0-9][0-9][0-9]
constexpr Pass kDefaultPasses[] = {kDefaultPunctuation, kGpt2Rules, kNumbersRules, kThreeDigitsRules};

constexpr Rule kFalconPunctuation[] = {
    run(of(kPunctuation | kAsciiMath | kBacktick))};  // [\p{P}\$\+<=>\^~\|`]+
constexpr Pass kFalconPasses[] = {kFalconPunctuation, kGpt2Rules, kThreeDigitsRules};

constexpr Rule kWord =
    after_optional(except(kNewline | kLetter | kNumber), of(kLetter));  // [^\r\n\p{L}\p{N}]?\p{L}+
constexpr Rule kSigns =                                                 //  ?[^\s\p{L}\p{N}]+[\r\n]*
    after_optional(of(kSpace), except(kWhitespace | kLetter | kNumber), of(kNewline));

constexpr Rule kLlama3Rules[] = {
    kAnyContractions, kWord, kThreeNumbers, kSigns, kLineEnds, kSpacesBeforeWord, kSpaces,
};
constexpr Pass kLlama3Passes[] = {kLlama3Rules};

constexpr Rule kQwen2Rules[] = {
    kAnyContractions, kWord, kOneNumber, kSigns, kLineEnds, kSpacesBeforeWord, kSpaces,
};
constexpr Pass kQwen2Passes[] = {kQwen2Rules};

constexpr Rule kQwen35Rules[] = {
    kAnyContractions,
    after_optional(except(kNewline | kLetter | kNumber),
                   of(kLetter | kMark)),  // [^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+
    kOneNumber,
    after_optional(of(kSpace),
                   except(kWhitespace | kLetter | kMark | kNumber),  //  ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*
                   of(kNewline)),
    kLineEnds,
    kSpacesBeforeWord,
    kSpaces,
};
constexpr Pass kQwen35Passes[] = {kQwen35Rules};

constexpr Rule kOneNewlineRules[] = {run(of(kNewline), 1, 1)};                              // [\r\n]
constexpr Rule kSpacedLetters[] = {after_optional(of(kWhitespace), of(kLetter))};           // \s?\p{L}+
constexpr Rule kSpacedPunctuation[] = {after_optional(of(kWhitespace), of(kPunctuation))};  // \s?\p{P}+
constexpr Rule kWideCjkRules[] = {run(of(kWideCjk))};  // [一-龥ࠀ-一가-퟿]+
constexpr Pass kDeepseekCoderPasses[] = {
    kOneNewlineRules, kSpacedLetters, kSpacedPunctuation, kWideCjkRules, kOneNumberRules,
};

constexpr Rule kThreeNumbersRules[] = {kThreeNumbers};
constexpr Rule kCjkRules[] = {run(of(kCjk))};  // [一-龥぀-ゟ゠-ヿ]+
constexpr Rule kDeepseek3Rules[] = {
    after(of(kAsciiPunct), of(kLatin)),  // [!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+
    after_optional(except(kNewline | kLetter | kPunctuation | kSymbol), of(kLetter | kMark)),
    //                                      [^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+
    after_optional(of(kSpace), of(kPunctuation | kSymbol), of(kNewline)),  //  ?[\p{P}\p{S}]+[\r\n]*
    kLineEnds,
    kSpacesBeforeWord,
    kSpaces,
};
constexpr Pass kDeepseek3Passes[] = {kThreeNumbersRules, kCjkRules, kDeepseek3Rules};

constexpr PreTokenizer kDefault{.passes = kDefaultPasses};
constexpr PreTokenizer kGpt2{.passes = kGpt2Passes};
constexpr PreTokenizer kStarcoder{.passes = kStarcoderPasses};
constexpr PreTokenizer kFalcon{.passes = kFalconPasses};
constexpr PreTokenizer kLlama3{.passes = kLlama3Passes, .ignore_merges = true, .add_bos = true};
constexpr PreTokenizer kSmaug{.passes = kLlama3Passes};
constexpr PreTokenizer kQwen2{.passes = kQwen2Passes};
constexpr PreTokenizer kQwen35{.passes = kQwen35Passes};
constexpr PreTokenizer kDeepseekCoder{.passes = kDeepseekCoderPasses};
constexpr PreTokenizer kDeepseek3{.passes = kDeepseek3Passes};

struct Named {
  std::string_view name;
  const PreTokenizer* pre;
};
constexpr Named kNamed[] = {
    {"default", &kDefault},
    {"gpt-2", &kGpt2},
    {"phi-2", &kGpt2},
    {"mpt", &kGpt2},
    {"olmo", &kGpt2},
    {"jais", &kGpt2},
    {"gigachat", &kGpt2},
    {"trillion", &kGpt2},
    {"exaone4", &kGpt2},
    {"granite-docling", &kGpt2},
    {"a.x-4.0", &kGpt2},
    {"mellum", &kGpt2},
    {"starcoder", &kStarcoder},
    {"refact", &kStarcoder},
    {"command-r", &kStarcoder},
    {"smollm", &kStarcoder},
    {"codeshell", &kStarcoder},
    {"exaone", &kStarcoder},
    {"minerva-7b", &kStarcoder},
    {"falcon", &kFalcon},
    {"llama3", &kLlama3},
    {"llama-v3", &kLlama3},
    {"llama-bpe", &kLlama3},
    {"falcon3", &kLlama3},
    {"falcon-h1", &kLlama3},
    {"pixtral", &kLlama3},
    {"midm-2.0", &kLlama3},
    {"lfm2", &kLlama3},
    {"dbrx", &kSmaug},
    {"smaug-bpe", &kSmaug},
    {"glm4", &kSmaug},
    {"chatglm-bpe", &kSmaug},
    {"qwen2", &kQwen2},
    {"stablelm2", &kQwen2},
    {"deepseek-r1-qwen", &kQwen2},
    {"megrez", &kQwen2},
    {"hunyuan", &kQwen2},
    {"solar-open", &kQwen2},
    {"grok-2", &kQwen2},
    {"qwen35", &kQwen35},
    {"deepseek-coder", &kDeepseekCoder},
    {"deepseek-v3", &kDeepseek3},
    {"hunyuan-dense", &kDeepseek3},
    {"joyai-llm", &kDeepseek3},
};

}  // namespace

const PreTokenizer* find_pretokenizer(std::string_view name) {
  for (const Named& named : kNamed) {
    if (named.name == name) return named.pre;
  }
  return nullptr;
}

std::string known_pretokenizers() {
  std::string names;
  for (const Named& named : kNamed) names.append(names.empty() ? "" : ", ").append(named.name);
  return names;
}

}  // namespace ostinato::tokenizer
