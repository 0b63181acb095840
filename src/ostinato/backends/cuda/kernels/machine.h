// What a phase is called with: the Machine (where everything lies) and its Work (which part of the grid it
// is).
//
// A phase is   OSTINATO_DEVICE inline void run(const call::NAME& c, const Machine& m, Work& w);
// in phases/NAME.h. It may use any number of blocks and warps, with the same bits.
#pragma once
#include "tables.h"
#include "team.h"
#include "warp.h"

namespace ostinato::cuda {

// One warp's part of a launch.
struct Work {
  int32_t block, blocks;  // of the grid
  int32_t warp, warps;    // of the grid; neighbours are in different blocks, so that few items still spread
  int32_t block_warp, block_warps;  // of the block
  uint8_t* shared;  // kSharedBytes of the block, 16-byte aligned, contents open at a phase's start
  uint32_t flags;   // kGeneratedOnly
  Team team;

  // All warps of the block have come here, and see what each other wrote.
  OSTINATO_DEVICE void sync() { team.sync(); }
};

// Accessors of MachineFields. References into state are valid until a phase moves on to another step.
struct Machine : MachineFields {
  OSTINATO_DEVICE const Layout& layout() const { return *reinterpret_cast<const Layout*>(state); }
  OSTINATO_DEVICE Step& step() const { return *reinterpret_cast<Step*>(state + kLayoutWords); }
  OSTINATO_DEVICE Draw& draw(int32_t i) const { return reinterpret_cast<Draw*>(state + layout().draw)[i]; }
  OSTINATO_DEVICE Slot& slot(int32_t i) const { return reinterpret_cast<Slot*>(state + layout().slot)[i]; }

  OSTINATO_DEVICE int32_t* row_slot() const { return state + layout().row_slot; }
  OSTINATO_DEVICE int32_t* row_position() const { return state + layout().row_position; }
  OSTINATO_DEVICE int32_t* row_token() const { return state + layout().row_token; }
  OSTINATO_DEVICE int32_t* logit_row() const { return state + layout().logit_row; }

  // [context + 1], [blocks_per_sequence], [kMaxLogitBias, 2], [kMaxStops] of a slot.
  OSTINATO_DEVICE int32_t* history(int32_t slot) const {
    return state + layout().history + static_cast<int64_t>(slot) * (layout().context + 1);
  }
  OSTINATO_DEVICE int32_t* table(int32_t slot, int32_t cache) const {
    return state + layout().table +
           (static_cast<int64_t>(slot) * layout().caches + cache) * layout().blocks_per_sequence;
  }
  OSTINATO_DEVICE int32_t* bias(int32_t slot) const {
    return state + layout().bias + slot * kMaxLogitBias * 2;
  }
  OSTINATO_DEVICE int32_t* stops(int32_t slot) const { return state + layout().stops + slot * kMaxStops; }

  OSTINATO_DEVICE const Header& header() const { return *reinterpret_cast<const Header*>(packet); }
  OSTINATO_DEVICE Drawn& drawn(int32_t step, int32_t draw) const {
    return reinterpret_cast<Drawn*>(result)[step * layout().max_sequences + draw];
  }
  OSTINATO_DEVICE Best& best(int32_t step, int32_t draw) const {
    const int64_t first = static_cast<int64_t>(layout().max_steps) * layout().max_sequences;
    return reinterpret_cast<Best*>(reinterpret_cast<Drawn*>(result) +
                                   first)[step * layout().max_sequences + draw];
  }

  // Rows of a value in this step, and how many of them are of kind prompt (they come first).
  OSTINATO_DEVICE int32_t rows(int32_t axis, int32_t factor) const {
    return factor * by_axis(axis, step().rows, step().logit_rows);
  }
  OSTINATO_DEVICE int32_t prompt_rows(int32_t axis, int32_t factor) const {
    return factor * by_axis(axis, step().prompt_rows, step().prompt_logit_rows);
  }
  // The first row a launch with these flags works on.
  OSTINATO_DEVICE int32_t first_row(int32_t axis, int32_t factor, const Work& w) const {
    return w.flags & kGeneratedOnly ? prompt_rows(axis, factor) : 0;
  }

  OSTINATO_DEVICE float* floats(int32_t place) const { return reinterpret_cast<float*>(arena + place); }
  OSTINATO_DEVICE int32_t* ints(int32_t place) const { return reinterpret_cast<int32_t*>(arena + place); }
  OSTINATO_DEVICE uint32_t* words(int32_t place) const { return arena + place; }

  // Call number `index`: the phase it names, and its words as that phase's type.
  OSTINATO_DEVICE call::Phase phase(int32_t index) const {
    return static_cast<call::Phase>(*call_words(index));
  }
  template <class Call>
  OSTINATO_DEVICE const Call& call(int32_t index) const {
    return *reinterpret_cast<const Call*>(call_words(index));
  }

 private:
  static constexpr int32_t kLayoutWords = sizeof(Layout) / sizeof(int32_t);

  OSTINATO_DEVICE const int32_t* call_words(int32_t index) const {
    return calls + static_cast<int64_t>(index) * kCallWords;
  }

  OSTINATO_DEVICE static int32_t by_axis(int32_t axis, int32_t t, int32_t r) {
    if (axis == static_cast<int32_t>(Axis::kT)) return t;
    return axis == static_cast<int32_t>(Axis::kR) ? r : 1;
  }
};

}  // namespace ostinato::cuda
