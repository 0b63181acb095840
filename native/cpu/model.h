// What the executor runs: limits of a step, weights where they lie, cache and state groups, encoded programs.
#pragma once
#include <cstdint>
#include <vector>

#include "cpu/vectors.h"
#include "memory/misses.h"
#include "ostinato/tables.h"

namespace ostinato::cpu {

// Limits of one step and of the state, from the plan.
struct Limits {
  int32_t max_rows;        // T
  int32_t max_logit_rows;  // R
  int32_t max_sequences;   // slots
  int32_t context;         // positions of a sequence
  int32_t blocks;          // of every cache group
  int32_t block_size;      // positions of a block
  int32_t vocab;           // width of the logits
  int32_t tokens;          // ids below may be embedded; where the program samples, this is vocab
  int32_t max_steps;       // of a run

  int32_t blocks_per_sequence() const { return (context + block_size - 1) / block_size; }
};

// A value of a program: factor x axis rows of `width` four-byte elements at `offset` bytes of the arena.
struct Value {
  DType dtype;
  Axis axis;
  int64_t factor, width, offset;
};

// `count` rows of memory from row `first` of the weight, `stride` bytes apart. A streamed weight's have no
// data but while their parcel is held.
struct Piece {
  const uint8_t* data;
  int64_t first, count, stride;
};

// A resolved weight expression: `rows` packed rows of `k` elements, in pieces that lie in the mapped file,
// or, where it is streamed, in parcels of a store.
struct Weight {
  TensorType type;
  int64_t rows, k;
  int64_t experts;  // of a stack [E, N, K]; 1 otherwise. rows = experts x N
  std::vector<Piece> pieces;
  std::vector<float>
      vector;              // [rows, k] where ops want elements (gains, biases); [k, rows] of conv's kernels
  int32_t parcel = -1;     // the first one in the store; -1: resident
  int32_t extent = 0;      // of a parcel
  bool by_expert = false;  // piece e is matrix e, in parcel `parcel` + e; else piece i is extent `extent` + i
  int32_t copy = -1;       // the same in fewer bits, of Program::copies; -1: there is none

  bool streamed() const { return parcel >= 0; }
};

// Keys and values of the layers that share a block table: keys [layers, kv_heads, blocks], then values
// likewise, so that what a head reads of blocks that follow each other lies in one stream. A block of a head:
//
//   F16, F32   keys [key_dim, block_size] (positions innermost: 16 scores come out of one vector),
//              values [block_size, value_dim]
//   Q8_0       keys [key_dim / 4, block_size, 4] and their scales [key_dim / 32, block_size],
//              values [block_size, value_dim] and their scales [value_dim / 32, block_size]
//
// With value_dim 0, values are the first elements of the keys.
struct Cache {
  int32_t layers, kv_heads, key_dim, value_dim;
  KVType type;
  uint8_t* base;
  int64_t blocks, key_bytes, value_bytes;  // bytes of a block

  uint8_t* keys(int64_t layer, int64_t head) const {
    return base + (layer * kv_heads + head) * blocks * key_bytes;
  }
  uint8_t* values(int64_t layer, int64_t head) const {
    return base + (layers * kv_heads * key_bytes + (layer * kv_heads + head) * value_bytes) * blocks;
  }
};

// Recurrent state of equal layers: so many floats a layer and slot.
struct StateGroup {
  int64_t layers, elements;
};

struct Program {
  std::vector<int32_t> instructions;  // words, as tables.h lays out
  std::vector<Value> values;
  std::vector<Weight> weights;
  std::vector<Weight> copies;  // of experts that stream, what a miss may be computed from
  int64_t arena_bytes = 0;
  std::vector<int32_t> outputs;  // values of the named outputs, in the order of both programs; -1: not there
};

struct Model {
  Limits limits;
  std::vector<Cache> caches;
  std::vector<StateGroup> states;
  Program prefill, decode;
  memory::MissRule misses;  // of experts with copies
};

// The piece that a row lies in.
const Piece& piece_of(const Weight& weight, int64_t row);

// The packed bytes of one row.
const uint8_t* weight_row(const Weight& weight, int64_t row);

}  // namespace ostinato::cpu
