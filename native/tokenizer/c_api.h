// The tokenizer for callers that speak C: the browser, through wasm32. All memory of the caller's is read
// during the call only. Build with tools/tokenizer_wasm.sh.
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// A GGUF array as it lies in the file; data null: the file has none.
typedef struct {
  const char* data;
  uint32_t bytes;
  uint32_t count;
} ot_array;

// The metadata that a tokenizer is built from (see source.h); -1 for an id or a switch that the file has not.
typedef struct {
  ot_array model, pre, name, architecture;  // texts; `count` is not read
  ot_array tokens, merges, scores, types, charsmap;
  int32_t bos, eos, eot, eom, unknown, separator;
  int32_t add_bos, add_eos, add_space_prefix;
  int32_t remove_extra_whitespaces, lowercase, strip_accents;
} ot_metadata;

enum { OT_ADD_SPECIAL = 1, OT_PARSE_SPECIAL = 2, OT_SKIP_SPECIAL = 4, OT_CONTINUED = 8 };

typedef struct ot_tokenizer ot_tokenizer;
typedef struct ot_stream ot_stream;

void* ot_alloc(uint32_t bytes);  // memory for what the calls below read and write
void ot_release(void* memory);

// Null, with a message in `error` (zero-terminated, cut to `capacity` bytes), for metadata that make no
// tokenizer.
ot_tokenizer* ot_new(const ot_metadata* metadata, char* error, uint32_t capacity);
void ot_free(ot_tokenizer* tokenizer);

// Ids of a text. Returns their number, of which the first `capacity` are written to `ids`; -1: the text is
// too long.
int32_t ot_encode(const ot_tokenizer* tokenizer, const char* text, uint32_t bytes, uint32_t flags,
                  int32_t* ids, uint32_t capacity);
// UTF-8 of ids. Returns its length, of which the first `capacity` bytes are written; -1: an id is not one.
int32_t ot_decode(const ot_tokenizer* tokenizer, const int32_t* ids, uint32_t count, uint32_t flags,
                  char* text, uint32_t capacity);

// Whether the id ends a generation.
int32_t ot_is_stop(const ot_tokenizer* tokenizer, int32_t id);

// The text of ids that come one by one, in whole characters; it must not outlive its tokenizer. An id of -1
// asks for the rest. Returns the length of the new text, which stays at ot_stream_text until the next push;
// -1: not an id.
ot_stream* ot_stream_new(const ot_tokenizer* tokenizer, uint32_t flags);
void ot_stream_free(ot_stream* stream);
int32_t ot_stream_push(ot_stream* stream, int32_t id);
const char* ot_stream_text(const ot_stream* stream);

#ifdef __cplusplus
}
#endif
