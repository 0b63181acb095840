// The persistent decode kernel: a run's steps in one launch, without the host in between.
//
// Every call of the decode program, a grid barrier after each; then block 0 publishes the step in the ring
// and decides for all blocks whether to go on. A step is begun only when the ring has room for it, so
// whatever was drawn is always handed over, and a launch can leave at every step's end.
//
// Before: `begin` has taken the packet in; at most kPersistentSequences spans; Command and Status are zero.
#pragma once
#include "grid.h"
#include "machine.h"

namespace ostinato::cuda {

// Measures steps against the launch's time limit. Unsigned differences, so that the clock may wrap.
struct Stopwatch {
  uint32_t started, step_began, longest_step;

  OSTINATO_DEVICE void step_ends() {
    const uint32_t step = microseconds() - step_began;
    if (step > longest_step) longest_step = step;
  }
  OSTINATO_DEVICE bool allows_a_step(int32_t limit) const {
    return limit == 0 || microseconds() - started + longest_step < static_cast<uint32_t>(limit);
  }
};

// One warp copies words to pinned host memory.
OSTINATO_DEVICE inline void copy_words(int32_t* to, const void* from, int32_t words) {
  for (int32_t first = 0; first < words; first += kLanes) {
    const Lane<int32_t> index = first + lane_index();
    const Mask inside = index < words;
    store_where(inside, to, index, load_where(inside, static_cast<const int32_t*>(from), index, 0));
  }
}

// One warp writes the step that just ended into its place in the ring, then counts it as published.
OSTINATO_DEVICE inline void publish(const Machine& m, const Work& w) {
  constexpr int32_t kDrawnWords = sizeof(Drawn) / sizeof(int32_t),
                    kBestWords = sizeof(Best) / sizeof(int32_t);
  const Step& step = m.step();  // `finish` has counted on
  const int32_t done = step.step - 1;
  int32_t* entry = m.ring + done % m.ring_entries * kEntryWords;
  int32_t* drawn = entry + sizeof(Entry) / sizeof(int32_t);
  int32_t* best = drawn + kPersistentSequences * kDrawnWords;
  if (w.team.leads()) *reinterpret_cast<Entry*>(entry) = {done, step.draws, step.running};
  copy_words(drawn, &m.drawn(done, 0), step.draws * kDrawnWords);
  for (int32_t d = 0; d < step.draws; ++d) {
    if (m.slot(m.draw(d).slot).logprobs > 0) copy_words(best + d * kBestWords, &m.best(done, d), kBestWords);
  }
  fence_system();  // each lane its own words
  sync_warp();
  if (w.team.leads()) write_system(&m.status->published, step.step);
}

// A slot that could go on has no block for its next row.
OSTINATO_DEVICE inline bool lacks_block(const Machine& m) {
  for (int32_t d = 0; d < m.step().draws; ++d) {
    if (m.slot(m.draw(d).slot).stopped == kNoBlock) return true;
  }
  return false;
}

// Waits until the ring has room for another step, or says why there will be none.
OSTINATO_DEVICE inline Left room(const Machine& m, const Stopwatch& watch) {
  while (true) {
    if (read_system(&m.command->leave) != 0) return Left::kTold;
    if (!watch.allows_a_step(m.time_limit)) return Left::kTime;
    if (m.step().step - read_system(&m.command->taken) < m.ring_entries) return Left::kRunning;
    pause();
  }
}

OSTINATO_DEVICE inline Left decide(const Machine& m, const Stopwatch& watch) {
  const Step& step = m.step();
  if (lacks_block(m)) return Left::kBlocks;
  if (step.running == 0) return Left::kStopped;
  if (step.step >= step.steps) return Left::kSteps;
  return room(m, watch);
}

// The first warp of block 0, between two grid barriers.
OSTINATO_DEVICE inline void conclude(const Machine& m, const Work& w, Stopwatch& watch) {
  publish(m, w);
  if (!w.team.leads()) return;
  watch.step_ends();
  const Left left = decide(m, watch);
  m.grid->left = static_cast<int32_t>(left);
  if (left != Left::kRunning) write_system(&m.status->left, static_cast<int32_t>(left));
  watch.step_began = microseconds();
}

// `run_call(m, index, w)` runs call `index` as the phase that it names.
template <class RunCall>
OSTINATO_DEVICE inline void decode_steps(const Machine& m, Work& w, RunCall run_call) {
  Stopwatch watch{microseconds(), microseconds(), 0};
  do {
    for (int32_t i = 0; i < m.decode_calls; ++i) {
      run_call(m, m.decode_first + i, w);
      sync_grid(m, w);
    }
    if (w.block == 0 && w.block_warp == 0) conclude(m, w, watch);
    sync_grid(m, w);
  } while (m.grid->left == static_cast<int32_t>(Left::kRunning));
}

}  // namespace ostinato::cuda
