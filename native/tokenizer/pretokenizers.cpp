// The table of pre-tokenizers. The expressions are those of the models' tokenizer.json files, or what
// llama.cpp makes of them (src/llama-vocab.cpp, src/unicode.cpp) where that differs: it decides, since its
// ids are what files are tested with. It takes all of \p{Lu} \p{Ll} \p{Lt} \p{Lm} \p{Lo} for \p{L}.
#include "tokenizer/pretokenize.h"

namespace ostinato::tokenizer {
namespace {

using Expression = std::string_view;

// Parts of many.
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WORD R"([^\r\n\p{L}\p{N}]?\p{L}+)"
#define SIGNS R"( ?[^\s\p{L}\p{N}]+)"
#define SPACES R"(\s*[\r\n]+|\s+(?!\S)|\s+)"
#define KANA_AND_HAN R"([\u{4E00}-\u{9FA5}\u{3040}-\u{309F}\u{30A0}-\u{30FF}]+)"
#define DEEPSEEK_WORDS \
  R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+)"
// Words in which upper case is followed by lower case, of which only ASCII is told apart; `letters` is the
// beginning of a set.
#define CASED(letters)                                                                 \
  R"([^\r\n\p{L}\p{N}]?)" letters R"(&&[^a-z]]*)" letters R"(&&[^A-Z]]+)" CONTRACTIONS \
  "?|"                                                                                 \
  R"([^\r\n\p{L}\p{N}]?)" letters R"(&&[^a-z]]+)" letters R"(&&[^A-Z]]*)" CONTRACTIONS "?"
#define HAN                                                                                      \
  R"(\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{20000}-\u{2A6DF}\u{2A700}-\u{2EBEF}\u{F900}-\u{FAFF})" \
  R"(\u{2F800}-\u{2FA1F})"

constexpr Expression kGpt2Words = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+|)" SIGNS R"(|\s+(?!\S)|\s+)";
constexpr Expression kLlama3Words = CONTRACTIONS "|" WORD R"(|\p{N}{1,3}|)" SIGNS R"([\r\n]*|)" SPACES;
constexpr Expression kQwen2Words = CONTRACTIONS "|" WORD R"(|\p{N}|)" SIGNS R"([\r\n]*|)" SPACES;
constexpr Expression kBloomWords = R"( ?[^(\s|.,!?\u{2026}\u{3002}\u{FF0C}\u{3001}\u{964}\u{6D4}\u{60C})]+)";
constexpr Expression kThreeDigits = R"([0-9]{3})";
// A cut after every third number, counted from the end of a run: none where the run begins.
constexpr Expression kThousands = R"((?<=\p{N})(?=(?:\p{N}{3})*(?!\p{N})))";
// The published [一-龥ࠀ-一가-퟿] without its white space, which llama.cpp sees as \v.
constexpr Expression kWideCjk = R"([\u{800}-\u{9FA5}\u{AC00}-\u{D7FF}&&[^)"
                                R"(\u{1680}\u{2000}-\u{200A}\u{2028}\u{2029}\u{202F}\u{205F}\u{3000}]]+)";
// Latin, Greek, Cyrillic, Armenian, Georgian, Cherokee, ... letters that have case.
constexpr Expression kCasedLetters =
    R"(\s?[A-Za-z\u{B5}\u{C0}-\u{D6}\u{D8}-\u{F6}\u{F8}-\u{1BA}\u{1BC}-\u{1BF}\u{1C4}-\u{293}\u{295}-\u{2AF})"
    R"(\u{370}-\u{373}\u{376}\u{377}\u{37B}-\u{37D}\u{37F}\u{386}\u{388}-\u{38A}\u{38C}\u{38E}-\u{3A1})"
    R"(\u{3A3}-\u{3F5}\u{3F7}-\u{481}\u{48A}-\u{52F}\u{531}-\u{556}\u{10A0}-\u{10C5}\u{13A0}-\u{13F5})"
    R"(\u{13F8}-\u{13FD}\u{1C90}-\u{1CBA}\u{1CBD}-\u{1CBF}\u{1D00}-\u{1D2B}\u{1D6B}-\u{1D77}\u{1D79}-\u{1D9A})"
    R"(\u{1E00}-\u{1F15}\u{1F18}-\u{1F1D}\u{1F20}-\u{1F45}\u{1F48}-\u{1F4D}\u{1F50}-\u{1F57}\u{1F59}\u{1F5B})"
    R"(\u{1F5D}\u{1F5F}-\u{1F7D}\u{1F80}-\u{1FB4}\u{1FB6}-\u{1FBC}\u{1FBE}\u{1FC2}-\u{1FC4}\u{1FC6}-\u{1FCC})"
    R"(\u{1FD0}-\u{1FD3}\u{1FD6}-\u{1FDB}\u{1FE0}-\u{1FEC}\u{1FF2}-\u{1FF4}\u{1FF6}-\u{1FFC}\u{2102}\u{2107})"
    R"(\u{210A}-\u{2113}\u{2115}\u{2119}-\u{211D}\u{2124}\u{2126}\u{2128}\u{212A}-\u{212D}\u{212F}-\u{2134})"
    R"(\u{2139}\u{213C}-\u{213F}\u{2145}-\u{2149}\u{214E}\u{2183}\u{2184}\u{2C00}-\u{2C7B}\u{2C7E}-\u{2CE4})"
    R"(\u{2CEB}-\u{2CEE}\u{2CF2}\u{2CF3}\u{A640}-\u{A66D}\u{A680}-\u{A69B}\u{A722}-\u{A76F}\u{A771}-\u{A787})"
    R"(\u{A78B}-\u{A78E}\u{AB70}-\u{ABBF}\u{FB00}-\u{FB06}\u{FB13}-\u{FB17}\u{FF21}-\u{FF3A}\u{FF41}-\u{FF5A})"
    R"(\u{10400}-\u{1044F}\u{104B0}-\u{104D3}\u{104D8}-\u{104FB}\u{10C80}-\u{10CB2}\u{10CC0}-\u{10CF2})"
    R"(\u{118A0}-\u{118DF}\u{1E900}-\u{1E943}]+)";

constexpr Expression kDefault[] = {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2Words, R"(\p{N}+)", kThreeDigits};
constexpr Expression kGpt2[] = {kGpt2Words};
constexpr Expression kStarcoder[] = {R"(\p{N})", kGpt2Words};
constexpr Expression kFalcon[] = {R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2Words, kThreeDigits};
constexpr Expression kLlama3[] = {kLlama3Words};
constexpr Expression kMiniCpm5[] = {R"(\p{N}{1,3})",
                                    CONTRACTIONS "|" WORD R"(|\p{N}+|)" SIGNS R"([\r\n]*|)" SPACES};
constexpr Expression kJais2[] = {
    CONTRACTIONS "|" WORD R"(|\p{N}{1,3}|)" SIGNS R"([\r\n]*|\s*[\r\n]+|)"
                 R"(\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|)"
                 R"(\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})"};
constexpr Expression kQwen2[] = {kQwen2Words};
constexpr Expression kLaguna[] = {R"([^\n]+|[\n]+)", kQwen2Words};
constexpr Expression kQwen35[] = {
    CONTRACTIONS R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)" SPACES};
constexpr Expression kUfakzeka[] = {WORD R"(|\p{N}|)" SIGNS R"([\r\n]*|)" SPACES};
constexpr Expression kSeedCoder[] = {CONTRACTIONS "|" WORD R"(|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|)" SPACES};
constexpr Expression kExaoneMoe[] = {
    CONTRACTIONS R"(|[^\r\n\p{L}\p{N}]?\p{L}[\p{L}\p{M}]*(?: \p{L}[\p{L}\p{M}]*)*|\p{N}|)" SIGNS
                 R"([\r\n/]?|)" SPACES};
constexpr Expression kDeepseekLlm[] = {
    R"([\r\n])",
    kCasedLetters,
    // U+3000 is published here too, but llama.cpp takes it for white space alone.
    R"(\s?[!-/:-~\u{FF01}-\u{FF0F}\u{FF1A}-\u{FF5E}\u{2018}-\u{201F}\u{3001}\u{3002}]+)",
    R"(\s+$)",
    kWideCjk,
    R"(\p{N}+)",
};
constexpr Expression kDeepseekCoder[] = {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kWideCjk, R"(\p{N})"};
constexpr Expression kDeepseek3[] = {R"(\p{N}{1,3})", KANA_AND_HAN, DEEPSEEK_WORDS R"([\r\n]*|)" SPACES};
constexpr Expression kSpark[] = {R"(\p{N}{1,3})", KANA_AND_HAN, DEEPSEEK_WORDS R"(|[\r\n]|\s+(?!\S)|\s+)",
                                 R"(\p{N})"};
constexpr Expression kAfmoe[] = {
    kThousands,
    R"([\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{8C48}-\u{FAFF}\u{3040}-\u{309F}\u{30A0}-\u{30FF}\u{FF65}-\u{FF9F})"
    R"(\u{2F00}-\u{2FDF}\u{E40}-\u{E7F}\u{E80}-\u{EFF}\u{1780}-\u{17FF}\u{1000}-\u{109F}\u{AA60}-\u{AA7F})"
    R"(\u{A9E0}-\u{A9FF}\u{AC00}-\u{D7AF}\u{1100}-\u{11FF}]+)",
    DEEPSEEK_WORDS R"([\r\n]*|)" SPACES,
};
constexpr Expression kYoutu[] = {
    R"([\u{AC00}-\u{D7A3}\u{3131}-\u{318E}]+|)"
    R"([\u{FF01}\u{2026}\u{201C}\u{201D}\u{2018}\u{2019}\u{2014}\u{FF1A}\u{FF1B}\u{FF0C}\u{3001}-\u{303F})"
    R"(\u{FE30}-\u{FE4F}]+|[\u{3105}-\u{312F}]+|)" KANA_AND_HAN,
    R"([^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+)" CONTRACTIONS R"(?|\p{N}|)" SIGNS R"([\r\n/]*|)" SPACES,
};
constexpr Expression kBloom[] = {kBloomWords};
constexpr Expression kViking[] = {kBloomWords, R"(\p{N})"};
constexpr Expression kTekken[] = {
    R"([^\r\n\p{L}\p{N}]?[\p{L}&&[^a-z]]*[\p{L}&&[^A-Z]]+|[^\r\n\p{L}\p{N}]?[\p{L}&&[^a-z]]+[\p{L}&&[^A-Z]]*|)"
    R"(\p{N}|)" SIGNS R"([\r\n/]*|)" SPACES};
constexpr Expression kGpt4o[] = {CASED(R"([\p{L})") R"(|\p{N}{1,3}|)" SIGNS R"([\r\n/]*|)" SPACES};
constexpr Expression kGraniteEmbedding[] = {CASED(R"([\p{L}\p{M})") R"(|\p{N}{1,3}|)" SIGNS
                                                                    R"([\r\n/]*|)" SPACES};
constexpr Expression kTinyAya[] = {kThousands, R"([^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+)" CONTRACTIONS
                                               R"(?|\p{N}{1,3}|)" SIGNS R"([\r\n/]*|)" SPACES};
constexpr Expression kKimiK2[] = {"[" HAN R"(]+|[^\r\n\p{L}\p{N}]?[\p{L}&&[^)" HAN "]]+" CONTRACTIONS
                                  R"(?|\p{N}{1,3}|)" SIGNS R"([\r\n]*|)" SPACES};
constexpr Expression kSuperBpe[] = {R"(\p{N}+)", R"((?=(?:\d{3})+(?!\d)))"};
constexpr Expression kChameleon[] = {R"(<sentinel:[0-9]+>)",    R"(IMGIMG[A-I]{1,4}Z)",
                                     R"([\t\n]|    |  )",       R"(\p{N})",
                                     R"([\p{P}!-/:-@\[-`{-~])", kGpt2Words};
constexpr Expression kLines[] = {R"([^\n]+|[\n]+)"};
constexpr Expression kWords[] = {R"(\S+)"};

constexpr int kGemma4 = kAlwaysBos | kRawBytes | kEscapeSpaces | kWholeNewlines;

constexpr PreTokenizer kNamed[] = {
    {"default", kDefault},
    {"gpt-2", kGpt2},
    {"phi-2", kGpt2},
    {"mpt", kGpt2},
    {"olmo", kGpt2},
    {"jais", kGpt2},
    {"gigachat", kGpt2},
    {"trillion", kGpt2},
    {"exaone4", kGpt2},
    {"granite-docling", kGpt2},
    {"a.x-4.0", kGpt2},
    {"mellum", kGpt2},
    {"modern-bert", kGpt2},
    {"roberta-bpe", kGpt2},
    {"jina-es", kGpt2},
    {"jina-de", kGpt2},
    {"jina-v1-en", kGpt2},
    {"jina-v2-es", kGpt2, kStripMask},
    {"jina-v2-de", kGpt2, kStripMask},
    {"jina-v2-code", kGpt2, kStripMask},
    {"starcoder", kStarcoder},
    {"refact", kStarcoder},
    {"command-r", kStarcoder},
    {"smollm", kStarcoder},
    {"codeshell", kStarcoder},
    {"exaone", kStarcoder},
    {"minerva-7b", kStarcoder},
    {"mellum2", kStarcoder},
    {"falcon", kFalcon},
    {"llama3", kLlama3, kIgnoreMerges | kAddBos},
    {"llama-v3", kLlama3, kIgnoreMerges | kAddBos},
    {"llama-bpe", kLlama3, kIgnoreMerges | kAddBos},
    {"falcon3", kLlama3, kIgnoreMerges | kAddBos},
    {"falcon-h1", kLlama3, kIgnoreMerges | kAddBos},
    {"pixtral", kLlama3, kIgnoreMerges | kAddBos},
    {"midm-2.0", kLlama3, kIgnoreMerges | kAddBos},
    {"lfm2", kLlama3, kIgnoreMerges | kAddBos},
    {"jina-v5-nano", kLlama3, kIgnoreMerges | kAddBos},
    {"dbrx", kLlama3},
    {"smaug-bpe", kLlama3},
    {"chatglm-bpe", kLlama3},
    {"glm4", kLlama3, kIgnoreMerges},
    {"glm5", kLlama3, kIgnoreMerges},
    {"minicpm5", kMiniCpm5, kIgnoreMerges},
    {"jais-2", kJais2},
    {"qwen2", kQwen2},
    {"stablelm2", kQwen2},
    {"deepseek-r1-qwen", kQwen2},
    {"kormo", kQwen2},
    {"f2llmv2", kQwen2},
    {"megrez", kQwen2},
    {"hunyuan", kQwen2},
    {"solar-open", kQwen2},
    {"grok-2", kQwen2},
    {"bailingmoe", kQwen2},
    {"bailingmoe2", kQwen2},
    {"llada-moe", kQwen2},
    {"laguna", kLaguna},
    {"qwen35", kQwen35},
    {"ufakzeka", kUfakzeka},
    {"seed-coder", kSeedCoder},
    {"exaone-moe", kExaoneMoe},
    {"deepseek-llm", kDeepseekLlm},
    {"deepseek-coder", kDeepseekCoder},
    {"deepseek-v3", kDeepseek3},
    {"hunyuan-dense", kDeepseek3},
    {"hy_v4", kDeepseek3},
    {"joyai-llm", kDeepseek3},
    {"spark2_5", kSpark},
    {"afmoe", kAfmoe},
    {"youtu", kYoutu, kIgnoreMerges},
    {"poro-chat", kBloom},
    {"bloom", kBloom},
    {"gpt3-finnish", kBloom},
    {"viking", kViking},
    {"tekken", kTekken, kIgnoreMerges | kAddBos},
    {"gpt-4o", kGpt4o},
    {"llama4", kGpt4o},
    {"kanana2", kGpt4o},
    {"talkie", kGpt4o},
    {"minimax-m2", kGpt4o},
    {"granite-embed-multi-97m", kGraniteEmbedding, kIgnoreMerges},
    {"tiny_aya", kTinyAya},
    {"cohere2moe", kTinyAya},
    {"kimi-k2", kKimiK2, kNoMerges},
    {"superbpe", kSuperBpe},
    {"chameleon", kChameleon, kAddBos},
    {"gemma4", kLines, kGemma4},
    {"granite-embed-multi-311m", kLines, kGemma4},
    {"sarvam-moe", kLines, kRawBytes | kEscapeSpaces},
    {"whitespace", kWords, kRawBytes},
};

}  // namespace

const PreTokenizer* find_pretokenizer(std::string_view name) {
  for (const PreTokenizer& named : kNamed) {
    if (named.name == name) return &named;
  }
  return nullptr;
}

std::string known_pretokenizers() {
  std::string names;
  for (const PreTokenizer& named : kNamed) names.append(names.empty() ? "" : ", ").append(named.name);
  return names;
}

}  // namespace ostinato::tokenizer
