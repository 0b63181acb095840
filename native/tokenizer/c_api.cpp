#include "tokenizer/c_api.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "tokenizer/decode.h"
#include "tokenizer/tokenizer.h"

namespace tok = ostinato::tokenizer;

struct ot_tokenizer {
  tok::Tokenizer tokenizer;
};

struct ot_stream {
  const tok::Tokenizer& tokenizer;
  tok::StreamDecoder decoder;
  std::string text;
};

namespace {

std::string_view text_of(const ot_array& array) { return {array.data, array.data ? array.bytes : 0}; }

tok::RawArray raw(const ot_array& array) { return {text_of(array), array.count, array.data != nullptr}; }

tok::DecodeOptions options(uint32_t flags) {
  return {.skip_special = (flags & OT_SKIP_SPECIAL) != 0, .continued = (flags & OT_CONTINUED) != 0};
}

// Copies what fits and says how much there is.
template <class T>
int32_t give(const T* data, size_t size, T* out, uint32_t capacity) {
  std::copy_n(data, std::min<size_t>(size, capacity), out);
  return static_cast<int32_t>(size);
}

}  // namespace

void* ot_alloc(uint32_t bytes) { return std::malloc(bytes); }
void ot_release(void* memory) { std::free(memory); }

ot_tokenizer* ot_new(const ot_metadata* metadata, char* error, uint32_t capacity) {
  const tok::Source source{
      .model = text_of(metadata->model),
      .pre = text_of(metadata->pre),
      .name = text_of(metadata->name),
      .architecture = text_of(metadata->architecture),
      .tokens = raw(metadata->tokens),
      .merges = raw(metadata->merges),
      .scores = raw(metadata->scores),
      .types = raw(metadata->types),
      .charsmap = raw(metadata->charsmap),
      .bos = metadata->bos,
      .eos = metadata->eos,
      .eot = metadata->eot,
      .eom = metadata->eom,
      .unknown = metadata->unknown,
      .separator = metadata->separator,
      .add_bos = metadata->add_bos,
      .add_eos = metadata->add_eos,
      .add_space_prefix = metadata->add_space_prefix,
      .remove_extra_whitespaces = metadata->remove_extra_whitespaces,
      .lowercase = metadata->lowercase,
      .strip_accents = metadata->strip_accents,
  };
  auto made = std::make_unique<ot_tokenizer>();
  const tok::Status status = made->tokenizer.build(source);
  if (status.ok()) return made.release();
  if (capacity) {
    const int32_t length = give(status.problem.data(), status.problem.size(), error, capacity - 1);
    error[std::min<uint32_t>(length, capacity - 1)] = '\0';
  }
  return nullptr;
}

void ot_free(ot_tokenizer* tokenizer) { delete tokenizer; }

int32_t ot_encode(const ot_tokenizer* tokenizer, const char* text, uint32_t bytes, uint32_t flags,
                  int32_t* ids, uint32_t capacity) {
  std::vector<int32_t> found;
  const tok::Status status =
      tokenizer->tokenizer.encode({text, bytes}, flags & OT_ADD_SPECIAL, flags & OT_PARSE_SPECIAL, found);
  return status.ok() ? give(found.data(), found.size(), ids, capacity) : -1;
}

int32_t ot_decode(const ot_tokenizer* tokenizer, const int32_t* ids, uint32_t count, uint32_t flags,
                  char* text, uint32_t capacity) {
  if (!tokenizer->tokenizer.check({ids, count}).ok()) return -1;
  const std::string decoded = tok::decode(tokenizer->tokenizer, {ids, count}, options(flags));
  return give(decoded.data(), decoded.size(), text, capacity);
}

int32_t ot_is_stop(const ot_tokenizer* tokenizer, int32_t id) {
  const std::vector<int32_t>& stop = tokenizer->tokenizer.specials().stop;
  return std::binary_search(stop.begin(), stop.end(), id);
}

ot_stream* ot_stream_new(const ot_tokenizer* tokenizer, uint32_t flags) {
  return new ot_stream{tokenizer->tokenizer, tok::StreamDecoder(tokenizer->tokenizer, options(flags)), {}};
}

void ot_stream_free(ot_stream* stream) { delete stream; }

int32_t ot_stream_push(ot_stream* stream, int32_t id) {
  stream->text.clear();
  if (id == tok::kNoToken) {
    stream->decoder.flush(stream->text);
  } else if (stream->tokenizer.check({&id, 1}).ok()) {
    stream->decoder.push(id, stream->text);
  } else {
    return -1;
  }
  return static_cast<int32_t>(stream->text.size());
}

const char* ot_stream_text(const ot_stream* stream) { return stream->text.data(); }
