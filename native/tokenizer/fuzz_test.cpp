// Random and corrupted vocabularies, random bytes, through the C API: run under the address and
// undefined-behaviour sanitizers (tests/gguf/test_tokenizer_sanitized.py builds it). Prints how many
// vocabularies were accepted.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/c_api.h"
#include "tokenizer/spelling.h"

namespace {

using Random = std::mt19937;

size_t below(Random& random, size_t end) { return random() % end; }

std::string random_bytes(Random& random, size_t longest) {
  constexpr std::string_view kLikely = "ab <|>0x\xE2\x96\x81\xC4\xA0\xF0\x9F\x98\x80'sN\n";
  std::string bytes(below(random, longest + 1), '\0');
  for (char& byte : bytes) {
    byte = below(random, 4) ? kLikely[below(random, kLikely.size())] : static_cast<char>(random());
  }
  return bytes;
}

template <class T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

std::string packed(const std::vector<std::string>& strings) {
  std::string out;
  for (const std::string& string : strings) {
    append<uint64_t>(out, string.size());
    out += string;
  }
  return out;
}

void corrupt(Random& random, std::string& bytes) {
  for (size_t i = below(random, 4); i > 0 && !bytes.empty(); --i) {
    bytes[below(random, bytes.size())] = static_cast<char>(random());
  }
  if (below(random, 4) == 0) bytes.resize(below(random, bytes.size() + 1));
}

// A copy on the heap of just the right size, so that one byte too far is seen.
class Exact {
 public:
  explicit Exact(std::string_view bytes) : bytes_(bytes.begin(), bytes.end()) { bytes_.shrink_to_fit(); }
  ot_array array(size_t count) const {
    static const char kEmpty = 0;
    return {bytes_.empty() ? &kEmpty : bytes_.data(), static_cast<uint32_t>(bytes_.size()),
            static_cast<uint32_t>(count)};
  }

 private:
  std::vector<char> bytes_;
};

template <size_t count>
std::string_view pick(Random& random, const std::string_view (&texts)[count]) {
  return texts[below(random, count)];
}

// Mostly one whose trie and replacements are of sane sizes, and full of units that lead from one to another.
std::string random_charsmap(Random& random) {
  if (below(random, 4) == 0) return random_bytes(random, 20);
  const size_t units = below(random, 300);
  std::string blob;
  append<uint32_t>(blob, units * 4);
  for (size_t i = 0; i < units; ++i) {
    const auto label = static_cast<uint8_t>(random_bytes(random, 1)[0]);
    append<uint32_t>(blob,
                     below(random, 3) ? below(random, 512) << 10 | (random() & 0x100) | label : random());
  }
  blob += random_bytes(random, 30);
  blob += '\0';
  return blob;
}

ot_tokenizer* random_tokenizer(Random& random, size_t& size) {
  constexpr std::string_view kModels[] = {"llama", "gpt2", "gpt2", "gemma4", "whitespace",
                                          "bert",  "t5",   "t5",   "rwkv",   "plamo2"};
  constexpr std::string_view kPre[] = {
      "default",     "gpt-2",        "llama-bpe", "qwen2",      "deepseek-coder",
      "deepseek-v3", "deepseek-llm", "jais-2",    "gpt-4o",     "granite-embed-multi-97m",
      "kimi-k2",     "superbpe",     "afmoe",     "exaone-moe", "youtu",
      "chameleon",   "viking",       "gemma4",    "whitespace", "jina-v2-es"};
  std::vector<std::string> tokens, merges;
  const std::string_view model_name = pick(random, kModels);
  const bool plamo = model_name == "plamo2";
  for (int byte = 0; byte < 256 && plamo; ++byte) tokens.push_back(ostinato::tokenizer::byte_token(byte));
  for (size_t i = below(random, 60); i > 0; --i) {
    std::string token = random_bytes(random, 6);
    const bool fresh = std::find(tokens.begin(), tokens.end(), token) == tokens.end();
    if (fresh || below(random, 200) == 0) tokens.push_back(std::move(token));
  }
  for (size_t i = below(random, 60); i > 0; --i) {
    merges.push_back("a" + random_bytes(random, 2) + " b" + random_bytes(random, 2));
  }
  size = tokens.size();
  std::string numbers;
  for (size_t i = 0; i < size; ++i) append<int32_t>(numbers, static_cast<int32_t>(below(random, 9)) - 1);
  std::string scores;
  for (size_t i = 0; i < size; ++i) append<uint32_t>(scores, random());
  std::string token_bytes = packed(tokens), merge_bytes = packed(merges);
  if (below(random, 3) == 0) corrupt(random, token_bytes);
  if (below(random, 3) == 0) corrupt(random, merge_bytes);

  const Exact token_run(token_bytes), merge_run(merge_bytes), score_run(scores), type_run(numbers);
  const Exact model(model_name), pre(model_name == "whitespace" ? model_name : pick(random, kPre)),
      name(below(random, 2) ? "Phi-3" : ""), architecture(below(random, 2) ? "nomic-bert-moe" : "");
  const std::string charsmap_bytes = random_charsmap(random);
  const Exact charsmap(charsmap_bytes);
  const auto id = [&] {
    return static_cast<int32_t>(below(random, size + 1 + (below(random, 20) == 0))) - 1;
  };
  const auto flag = [&] { return static_cast<int32_t>(below(random, 3)) - 1; };
  const ot_metadata metadata{
      .model = model.array(1),
      .pre = pre.array(1),
      .name = name.array(1),
      .architecture = architecture.array(1),
      .tokens = token_run.array(size),
      .merges = merge_run.array(merges.size()),
      .scores = score_run.array(size),
      .types = type_run.array(size),
      .charsmap = charsmap.array(charsmap_bytes.size()),
      .bos = id(),
      .eos = id(),
      .eot = id(),
      .eom = id(),
      .unknown = id(),
      .separator = id(),
      .add_bos = flag(),
      .add_eos = flag(),
      .add_space_prefix = flag(),
      .remove_extra_whitespaces = flag(),
      .lowercase = flag(),
      .strip_accents = flag(),
  };
  char error[64];
  return ot_new(&metadata, error, below(random, sizeof(error) + 1));
}

void use(Random& random, const ot_tokenizer* tokenizer, size_t size) {
  for (int i = 0; i < 20; ++i) {
    const std::string text = random_bytes(random, 60);
    std::vector<int32_t> ids(below(random, 100));
    const int32_t count =
        ot_encode(tokenizer, text.data(), text.size(), random() & 15, ids.data(), ids.size());
    ids.resize(std::min<size_t>(count, ids.size()));
    if (below(random, 8) == 0) ids.push_back(static_cast<int32_t>(random()));
    std::vector<char> out(below(random, 50));
    ot_decode(tokenizer, ids.data(), ids.size(), random() & 15, out.data(), out.size());
    ot_stream* stream = ot_stream_new(tokenizer, random() & 15);
    for (int j = 0; j < 10; ++j) ot_stream_push(stream, static_cast<int32_t>(below(random, size + 4)) - 2);
    ot_stream_free(stream);
  }
}

}  // namespace

int main(int arguments, char** values) {
  Random random(arguments > 1 ? std::atoi(values[1]) : 1);
  const int rounds = arguments > 2 ? std::atoi(values[2]) : 2000;
  int accepted = 0;
  for (int i = 0; i < rounds; ++i) {
    size_t size = 0;
    ot_tokenizer* tokenizer = random_tokenizer(random, size);
    if (!tokenizer) continue;
    ++accepted;
    use(random, tokenizer, size);
    ot_free(tokenizer);
  }
  std::printf("%d of %d vocabularies accepted\n", accepted, rounds);
}
