// A barrier for all blocks of a launch that are on the device together (a cooperative launch).
//
// Its words are zero once and then never reset: `arrived` is zero again after every barrier, `generation`
// goes on counting over barriers and launches, whose number of blocks may differ.
#pragma once
#include "machine.h"

namespace ostinato::cuda {

// Every warp of every block calls it; what any of them wrote before, each sees after.
OSTINATO_DEVICE inline void sync_grid(const Machine& m, Work& w) {
  w.sync();
  if (w.team.leads()) {
    Grid& grid = *m.grid;
    // Read before arriving: afterwards the last block may already have counted on.
    const int32_t generation = read_relaxed(&grid.generation);
    if (add_ordered(&grid.arrived, 1) == w.blocks - 1) {
      grid.arrived = 0;  // nobody else touches it until the release below
      write_release(&grid.generation, generation + 1);
    } else {
      wait_while(&grid.generation, generation);
    }
  }
  w.sync();
}

}  // namespace ostinato::cuda
