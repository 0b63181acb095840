// Prompt rows: weights as bf16 in B tiles, activations as bf16 in A tiles, sums in float tiles.
//
// A call expands kPromptOutputs weight rows, kColumns columns at a time, into B tiles that stay in the
// second-level cache (512 KiB of 2 MiB), and multiplies all activation rows with them in blocks of 32 x 32:
// two A and two B tiles are loaded for four products, and products take 16 cycles each. Sums between blocks
// of columns are stored and loaded as they are, so they do not depend on where blocks end.
//
// Expected, not yet measured on a machine that has the unit (cycles for 32 x 32 outputs and 32 columns):
// products 64; beside them loads of 4 KiB, some from the second-level cache (48 bytes a cycle), 64 to 85;
// sums in and out 2 to 4. Expanding 32 x 32 weights takes about 240 (480 operations of 512 bits at two a
// cycle: 11 for 32 weights' codes, scales and rounding, and a transpose), shared by rows / 32 blocks. So at
// 512 rows 15 of about 95 cycles are expansion and two thirds of the unit's peak remain, at 128 rows 60 of
// 140 and under a half. VNNI takes about 56 and 16 a row for as many weights: tiles win from about 16 rows
// on, and one prompt row alone takes two to three times as long as a generated one.
#include "cpu/kernels/amx/expand.h"
#include "cpu/kernels/amx/level.h"
#include "cpu/kernels/matmul.h"

namespace ostinato::cpu::OSTINATO_AMX {
namespace {

constexpr int64_t kBlock = 2 * kTileRows;  // activation rows, and weight rows, of a block
constexpr int64_t kColumns = 2048;
constexpr int64_t kPanels = kPromptOutputs / kBlock, kSteps = kColumns / kDepth;

struct Panels {
  BPair pairs[kPanels][kSteps];
};
thread_local Panels panels;

struct alignas(64) Sums {
  float of[kBlock][kBlock];  // [activation row][weight row]
};

// The part of `out` that a block covers.
struct Part {
  float* out;
  int64_t stride, rows, outputs;

  template <class Move>
  void each(Move move) const {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t i = 0; i < kBlock; i += 16) move(r, i, lanes_below(outputs, i), out + r * stride + i);
  }
  void read(Sums& sums) const {
    each([&](int64_t r, int64_t i, __mmask16 lanes, const float* from) {
      _mm512_store_ps(sums.of[r] + i, _mm512_maskz_loadu_ps(lanes, from));
    });
  }
  void write(const Sums& sums) const {
    each([&](int64_t r, int64_t i, __mmask16 lanes, float* to) {
      _mm512_mask_storeu_ps(to, lanes, _mm512_load_ps(sums.of[r] + i));
    });
  }
};

// Tiles 0 to 3: sums [half of the activation rows][half of the weight rows]; 4, 5: halves of A; 6, 7: of B.
TileShapes shapes(int64_t rows) {
  TileShapes s;
  const auto upper = static_cast<uint8_t>(std::min<int64_t>(rows, kTileRows));
  const auto lower = static_cast<uint8_t>(rows - upper);  // 0: those tiles are not used
  const uint8_t counts[kTiles] = {upper, upper, lower, lower, upper, lower, kTileRows, kTileRows};
  for (int tile = 0; tile < kTiles; ++tile)
    s.rows[tile] = counts[tile], s.bytes[tile] = counts[tile] ? kTileBytes : 0;
  return s;
}

// Activation rows `stride` bytes apart.
struct Activations {
  const uint8_t* data;
  int64_t stride;
};

// All steps of a block; without its lower 16 rows, unless kBoth.
template <bool kBoth>
void add_products(Activations a, const BPair* b, int64_t steps) {
  for (int64_t step = 0; step < steps; ++step) {
    const uint8_t* upper = a.data + step * kTileBytes;
    load<4>(upper, a.stride);
    load<6>(&b[step].half[0], kTileBytes);
    add_product_bf16<0, 4, 6>();
    load<7>(&b[step].half[1], kTileBytes);
    add_product_bf16<1, 4, 7>();
    if constexpr (kBoth) {
      load<5>(upper + kTileRows * a.stride, a.stride);
      add_product_bf16<2, 5, 6>();
      add_product_bf16<3, 5, 7>();
    }
  }
}

template <int kFirst>
void load_sums(const float* from) {
  load<kFirst>(from, sizeof(Sums::of[0]));
  load<kFirst + 1>(from + kTileRows, sizeof(Sums::of[0]));
}
template <int kFirst>
void store_sums(float* to) {
  store<kFirst>(to, sizeof(Sums::of[0]));
  store<kFirst + 1>(to + kTileRows, sizeof(Sums::of[0]));
}

// `begin`: these are the first columns.
template <bool kBoth>
void multiply_block(Activations a, const BPair* b, int64_t steps, bool begin, const Part& part) {
  Sums sums;
  if (begin) {
    zero<0>(), zero<1>();
    if constexpr (kBoth) zero<2>(), zero<3>();
  } else {
    part.read(sums);
    load_sums<0>(sums.of[0]);
    if constexpr (kBoth) load_sums<2>(sums.of[kTileRows]);
  }
  add_products<kBoth>(a, b, steps);
  store_sums<0>(sums.of[0]);
  if constexpr (kBoth) store_sums<2>(sums.of[kTileRows]);
  part.write(sums);
}

// Up to `outputs` weight rows in panels, with so many activation rows.
void multiply_panels(Activations a, int64_t rows, int64_t outputs, int64_t steps, bool begin, float* out,
                     int64_t out_stride) {
  const auto block = [&]<bool kBoth>(int64_t r) {
    for (int64_t i = 0; i < outputs; i += kBlock) {
      const Part part{out + r * out_stride + i, out_stride, std::min(kBlock, rows - r), outputs - i};
      multiply_block<kBoth>({a.data + r * a.stride, a.stride}, panels.pairs[i / kBlock], steps, begin, part);
    }
  };
  const int64_t whole = rows / kBlock * kBlock;
  if (whole > 0) {
    const TileSession session(shapes(kBlock));
    for (int64_t r = 0; r < whole; r += kBlock) block.template operator()<true>(r);
  }
  if (whole < rows) {
    const TileSession session(shapes(rows - whole));
    rows - whole > kTileRows ? block.template operator()<true>(whole)
                             : block.template operator()<false>(whole);
  }
}

// Columns [from, from + count) of up to kPromptOutputs weight rows into panels.
void expand(Expand* expand_rows, const WeightRows& w, int64_t k, int64_t from, int64_t count) {
  const int64_t step_bytes = w.stride * kStep / k;
  for (int64_t i = 0; i < w.n; i += kTileRows) {
    const uint8_t* rows[kTileRows];
    row_pointers(w, i, kTileRows, rows);
    for (int64_t at = from; at < from + count; at += kStep) {
      for (const uint8_t* row : rows) prefetch_piece(row, (at + kStep) * w.stride / k, step_bytes);
      expand_rows(rows, at, std::min(kStep, from + count - at), static_cast<int>(i / kTileRows % 2),
                  panels.pairs[i / kBlock] + (at - from) / kDepth);
    }
  }
}

}  // namespace

size_t prompt_row_bytes(int64_t k) {
  const int64_t bytes = (k + kDepth - 1) / kDepth * kTileBytes;
  return bytes % 4096 ? bytes : bytes + kTileBytes;  // rows a whole page apart would share cache sets
}

void pack_prompt_row(const float* x, int64_t k, void* out) {
  const auto at = [&](int64_t i) { return _mm512_maskz_loadu_ps(lanes_below(k, i), x + i); };
  for (int64_t i = 0; i < k; i += kDepth) store_bfloats(at(i), at(i + 16), static_cast<uint16_t*>(out) + i);
}

void multiply_prompt_rows(TensorType type, WeightRows w, int64_t k, const void* packed, int64_t rows,
                          float* out, int64_t out_stride) {
  Expand* expand_rows = expander(type);
  const Activations a{static_cast<const uint8_t*>(packed), static_cast<int64_t>(prompt_row_bytes(k))};
  for (int64_t i = 0; i < w.n; i += kPromptOutputs) {
    const WeightRows some{w.data + i * w.stride, std::min(kPromptOutputs, w.n - i), w.stride};
    for (int64_t from = 0; from < k; from += kColumns) {
      const int64_t count = std::min(kColumns, k - from), steps = (count + kDepth - 1) / kDepth;
      expand(expand_rows, some, k, from, count);
      multiply_panels({a.data + 2 * from, a.stride}, rows, some.n, steps, from == 0, out + i, out_stride);
    }
  }
}

}  // namespace ostinato::cpu::OSTINATO_AMX
