// Float arithmetic on rows, per instruction set: the
// counterpart of kernels.h for everything but packed matrices.
//
// isa/*.h hold the code once, on 16-lane vectors; isa/vectors.cpp is compiled once per level. A function's
// result depends on its arguments alone, so a row gets the same bits whoever computes it and with whom.
#pragma once
#include <cstddef>
#include <cstdint>

#include "cpu/kernels.h"

namespace ostinato::cpu {

// Positions that attention takes together: one softmax. They count from position 0, whatever the step
// computes, as splits do, so that they shape every row's sums alike.
constexpr int64_t kChunk = 256;

// Splits are what threads may share out and what is merged afterwards: of one chunk at first, so that a short
// context feeds several threads; of four from kFineEnd on, so that a long one has not too many.
constexpr int64_t kCoarse = 4 * kChunk, kFineSplits = 16, kFineEnd = kFineSplits * kChunk;
constexpr int64_t split_of(int64_t position) {
  return position < kFineEnd ? position / kChunk : kFineSplits + (position - kFineEnd) / kCoarse;
}
constexpr int64_t split_begin(int64_t split) {
  return split < kFineSplits ? split * kChunk : kFineEnd + (split - kFineSplits) * kCoarse;
}

// How a cache keeps its elements. Q8_0: 32 elements of a head share a float16 scale, which is the largest
// magnitude / 127; an element is a scale times -127 .. 127.
enum class KVType : int32_t {  // under the number of its tensor type
  kF16 = static_cast<int32_t>(TensorType::kF16),
  kF32 = static_cast<int32_t>(TensorType::kF32),
  kQ8_0 = static_cast<int32_t>(TensorType::kQ8_0),
};
constexpr KVType kKVTypes[] = {KVType::kF16, KVType::kF32, KVType::kQ8_0};
constexpr BlockShape kv_block(KVType type) { return block_shape(static_cast<TensorType>(type)); }
constexpr int64_t kQuantBlock = kv_block(KVType::kQ8_0).elements;

// Bytes of one position of a head of so many elements.
constexpr int64_t head_bytes(KVType type, int64_t dim) {
  return dim / kv_block(type).elements * kv_block(type).bytes;
}

// One KV head of one layer of one sequence, as paged memory; model.h says how elements lie in a block.
struct Pages {
  const uint8_t *keys, *values;    // of this head: [blocks]
  const int32_t* table;            // the sequence's block table
  int64_t key_bytes, value_bytes;  // of a block
  int32_t block_size, key_dim, value_dim;
  KVType type;
  bool values_in_keys;  // values are the first value_dim elements of the keys

  // Whether keys and values must be brought into other places before they can be taken 16 positions at a
  // time.
  bool scattered() const { return values_in_keys || block_size % 16 != 0; }
};

// Queries that share a KV head. Query i sees positions first[i] .. limit[i], limit excluded. Their elements
// stand in groups of kQueryGroup: [count / kQueryGroup, key_dim, kQueryGroup].
constexpr int64_t kQueryGroup = 8;
struct Queries {
  const float* data;
  const int32_t* first;  // [count], not falling
  const int32_t* limit;  // [count], above first
  int32_t count;
  float scale;
  float cap;  // scores are cap x tanh(score / cap); 0: they stay
};

// Softmax-weighted sum over some positions: value / sum is the attention, with weights 2^(score - max) and
// scores in units of log 2.
struct Partial {
  float* max;    // [count]
  float* sum;    // [count]
  float* value;  // [count, padded(value_dim)]
};

constexpr int64_t padded(int64_t width) { return (width + 15) / 16 * 16; }

// Floats of scratch for attend(): weights, plain and scaled; where pages are scattered also a chunk's keys,
// values and their scales.
constexpr size_t attend_scratch(int64_t key_dim, int64_t value_dim, bool scattered) {
  const int64_t weights = 2 * kQueryGroup * kChunk;
  return static_cast<size_t>(weights +
                             (scattered ? kChunk * (key_dim + padded(value_dim) + value_dim / 64 + 1) : 0));
}

// act(gate) x (up + shift); with a limit (above 0), gate is first cut off above it, up on both sides.
struct Gate {
  Activation act;
  float limit, shift;
};

// One row and head of the gated delta rule, which moves `state` [key_dim, value_dim].
struct DeltaRow {
  float* state;
  const float *q, *k, *v;  // [key_dim], [key_dim], [value_dim]
  const float* kept;       // factors of the state's rows, kept_stride apart: 1, or 0 for one factor
  int64_t kept_stride;
  float rate, scale;
  int64_t key_dim, value_dim;
  float* out;  // [value_dim]
};

// One row and head of Mamba 2, which moves `state` [head_dim, state_dim].
struct ScanRow {
  float* state;
  const float *x, *b, *c;  // [head_dim], [state_dim], [state_dim]
  float kept, time, skip;
  int64_t head_dim, state_dim;
  float* out;  // [head_dim]
};

// The best of a Gumbel draw so far: token -1 before the first.
struct Best {
  float score;
  int32_t token;
};

struct Vectors {
  Isa isa;

  // out = x / sqrt(mean(x^2) + eps) x gain; gain may be nullptr.
  void (*rms_norm)(const float* x, const float* gain, float eps, int64_t n, float* out);
  // out = (x - mean(x)) / sqrt(var(x) + eps) x gain + bias; gain and bias may be nullptr.
  void (*layer_norm)(const float* x, const float* gain, const float* bias, float eps, int64_t n, float* out);
  // out = a + scale x b; out may be a or b.
  void (*add)(const float* a, const float* b, float scale, int64_t n, float* out);
  // out = factor x x; unless cap is 0, cap x tanh of that / cap.
  void (*scale)(const float* x, float factor, float cap, int64_t n, float* out);
  // out = act(x); out may be x.
  void (*activate)(Activation act, const float* x, int64_t n, float* out);
  // out = the gated up; `gates` is n, or 1 where one gate serves the row; out may be gate or up.
  void (*glu)(const Gate& how, const float* gate, int64_t gates, const float* up, int64_t n, float* out);
  // max(x), NaN ignored; -inf for none.
  float (*max)(const float* x, int64_t n);
  // sum of exp(x - shift).
  float (*sum_exp)(const float* x, float shift, int64_t n);
  // out = exp(x - shift); out may be x.
  void (*exp)(const float* x, float shift, int64_t n, float* out);

  // Attention of the queries over the positions of one split that each of them sees. No sum holds a position
  // that its query does not see, whatever lies there.
  void (*attend)(const Pages& pages, const Queries& queries, int64_t split, float* scratch,
                 const Partial& out);
  // into = into merged with the next split.
  void (*merge)(const Partial& into, const Partial& next, int32_t count, int64_t width);
  // out = value / sum of a query, `width` long; `sink` is one more score, without a value (-inf: none).
  void (*finish)(const Partial& from, int32_t query, float sink, int64_t width, float* out);

  // out[c] = sum over t of kernel[t x stride + c] x window[t][c], + bias[c] unless nullptr, for c < n.
  void (*conv)(const float* const* window, const float* kernel, int64_t stride, const float* bias,
               int32_t taps, int64_t n, float* out);
  // Recurrent state moves by one row.
  void (*delta)(const DeltaRow& row);
  void (*scan)(const ScanRow& row);

  // Float to float16 (round to nearest even).
  void (*to_half)(const float* x, int64_t n, uint16_t* out);
  // Float to Q8_0: n codes, and n / 32 scales in float16. A block that holds a NaN or an infinity becomes
  // NaN.
  void (*to_q8)(const float* x, int64_t n, int8_t* codes, uint16_t* scales);

  // Draws among tokens `ids[0 .. n)` (or 0 .. n where ids is null) by score + Gumbel noise, with the noise of
  // token t at (seed, choice, position, t); ties go to the lower id. Tokens of score -inf are never drawn.
  // Merges into best.
  void (*draw)(const float* scores, const int32_t* ids, int64_t n, const uint32_t key[2], uint32_t position,
               uint32_t choice, Best* best);
};

// The functions of a level; nullptr where this machine or build lacks it.
const Vectors* vectors_for(Isa isa);

}  // namespace ostinato::cpu
