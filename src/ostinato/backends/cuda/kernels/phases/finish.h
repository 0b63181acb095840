// finish: slots advance by their rows, those of a run that have ended stop, and the step counts on. One warp,
// spans and draws in its lanes.
#pragma once
#include "stopped.h"

namespace ostinato::cuda {
namespace finish {

// Spans whose slots took part in the step advance them; returns how many there are.
OSTINATO_DEVICE inline int32_t advance(const Machine& m, const Packet& packet) {
  Slot* slots = &m.slot(0);
  Lane<int32_t> count = 0;
  for (int32_t first = 0; first < packet.header.spans; first += kLanes) {
    const Mask inside = lane_index() + first < packet.header.spans;
    const Lane<int32_t> span = select(inside, lane_index() + first, 0);
    const Lane<int32_t> slot = field(packet.spans, &Span::slot, span);
    const Mask active = inside && field(slots, &Slot::stopped, slot) == 0;
    const Lane<int32_t> length = field(slots, &Slot::length, slot) + field(packet.spans, &Span::count, span);
    set_field_where(active, slots, &Slot::length, slot, length);
    count += convert<int32_t>(active);
  }
  return sum(count);
}

// Slots whose draw was their last in the run; returns how many there are.
OSTINATO_DEVICE inline int32_t stop(const Machine& m, int32_t step) {
  const int32_t draws = m.step().draws;
  Lane<int32_t> count = 0;
  for (int32_t first = 0; first < draws; first += kLanes) {
    const Mask inside = lane_index() + first < draws;
    const Lane<int32_t> draw = select(inside, lane_index() + first, 0);
    const Lane<int32_t> slot = field(&m.draw(0), &Draw::slot, draw);
    const Lane<int32_t> position = field(&m.draw(0), &Draw::position, draw);
    const Lane<int32_t> token = field(&m.drawn(step, 0), &Drawn::token, draw);
    const Mask active = inside && position != kInactive;
    const Lane<int32_t> why = why_stopped(m, slot, select(active, position, 0), token);
    const Mask last = active && why != 0;
    set_field_where(last, &m.slot(0), &Slot::stopped, slot, why);
    count += convert<int32_t>(last);
  }
  return sum(count);
}

}  // namespace finish

OSTINATO_DEVICE inline void run(const call::Finish&, const Machine& m, Work& w) {
  if (w.warp != 0) return;
  const int32_t step = m.step().step;
  int32_t running = finish::advance(m, Packet(m));
  sync_warp();  // `advance` has read what `stop` writes, and every lane `step`
  if (m.step().steps > 1) running -= finish::stop(m, step);
  m.step().step = step + 1;
  m.step().running = running;
}

}  // namespace ostinato::cuda
