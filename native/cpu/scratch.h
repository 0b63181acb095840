// Memory that ops need besides their values, sized once for the largest step the plan allows.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "cpu/buffer.h"
#include "cpu/model.h"
#include "cpu/packed.h"
#include "cpu/vectors.h"

namespace ostinato::cpu {

// Activations packed for a kind of weight, kept while the
// step may use them again (q, k and v read one value).
struct PackedValue {
  int32_t value = -1;
  Forms forms;
  Buffer<uint8_t> bytes;
};

// Query heads of one row that a task of `attend` takes at most: more of them would leave threads without work
// where all heads share one KV head.
constexpr int64_t kMostQueries = 16;
// Queries of a task, of one row or of several: enough that reading keys and values costs little beside the
// arithmetic, few enough that their sums stay in the second-level cache.
constexpr int64_t kTaskQueries = 64;

// Rows of one sequence at consecutive positions, which a task computes together.
struct RowTile {
  int32_t first, count;
};

// Used by `attend`: the queries and sums of one task.
struct AttendScratch {
  Buffer<float> work;                     // attend_scratch()
  Buffer<float> query;                    // as Queries::data
  Buffer<int32_t> first, limit;           // [queries]
  std::array<Buffer<float>, 2> max, sum;  // [queries]: merged so far, and the next split
  std::array<Buffer<float>, 2> value;     // [queries, padded(value_dim)]

  Partial partial(int which) const { return {max[which].data(), sum[which].data(), value[which].data()}; }
};

// Partial results of splits that are computed side by side, when a step has few tasks: of every split of
// every task, kTaskQueries at most. Steps that would need more than there is have no splits side by side.
struct SplitScratch {
  Buffer<float> max, sum, value;
};

// Rows packed for the three matrices of experts.
struct ExpertInputs {
  Buffer<uint8_t> gate, up, down;
};

// Used by `experts`, rows sorted by (kind, expert).
struct ExpertScratch {
  ExpertInputs exact, copy;              // copy: generated rows
  Buffer<float> up;                      // [assignments, hidden]
  Buffer<float> scaled;                  // [assignments, width] where inputs are scaled
  Buffer<int32_t> active, rows;          // buckets and sorted rows that are being computed
  std::vector<int32_t> parcels, counts;  // of a store, that are wanted
  std::vector<double> wanting;           // rows that want each of `parcels`
  std::vector<memory::Wanted> wanted;    // likewise, where they have copies
  Buffer<float> tile;                    // [threads, kExpertRows, kExpertOutputs]
};

// Outputs that a task of `linear` or `gated` computes, at most.
constexpr int64_t kTileOutputs = 128;

// Rows (at most) x outputs that `experts` computes before it puts them where they belong.
constexpr int64_t kExpertRows = 128, kExpertOutputs = 64;

// Used by `sample`, one per thread.
struct SampleScratch {
  Buffer<float> scores;    // [vocab]
  Buffer<float> kept;      // [vocab] scores of candidates
  Buffer<int32_t> ids;     // [vocab] candidates
  Buffer<int32_t> counts;  // [vocab] occurrences; all zero between draws
  Buffer<uint64_t> keys;   // [vocab] ordered (score, id)
};

// Used by `conv` and `delta`, one per thread.
struct RecurrentScratch {
  Buffer<const float*> window;  // [taps]
  Buffer<float> kept;           // [key_dim]
};

// Splits are computed side by side when there are fewer tasks than this per thread, and where their values
// take no more than so many floats.
constexpr int64_t kFewTasks = 4, kMostSplitFloats = int64_t{1} << 23;

struct Scratch {
  Scratch(const Model& model, const Kernels& kernels, int threads);

  std::array<PackedValue, 2> packed;
  size_t next_packed = 0;
  std::vector<AttendScratch> attend;  // [threads]
  SplitScratch splits;
  Buffer<RowTile> tiles;  // [rows] of `attend`
  ExpertScratch experts;
  Buffer<float> gates;                      // [threads, rows, kTileOutputs] of `gated`
  Buffer<uint8_t> heads;                    // packed heads of `per_head`
  Buffer<float> router, wanted, totals;     // [rows, experts] of `route`: scores, what decides, of groups
  std::vector<RecurrentScratch> recurrent;  // [threads]
  std::vector<SampleScratch> sample;        // [threads]

  int64_t bytes() const;  // of all of it
};

}  // namespace ostinato::cpu
