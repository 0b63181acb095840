// begin: takes a packet into StepState. One block works.
//
// What comes later in a packet overwrites what came before, as in backends/stepstate.py: a slot belongs to
// one warp of the block, and a word of its history and tables to the lane of its index, which go through
// records in order.
#pragma once
#include "packet.h"

namespace ostinato::cuda {
namespace begin {

// to[first + i] = from(i) for i < count, by the lanes that own the places.
template <class From>
OSTINATO_DEVICE inline void put(int32_t* to, int32_t first, int32_t count, From from) {
  for (int32_t at = first / kLanes * kLanes; at < first + count; at += kLanes) {
    const Lane<int32_t> place = lane_index() + at;
    const Mask inside = place >= first && place < first + count;
    store_where(inside, to, place, from(select(inside, place - first, 0)));
  }
}

OSTINATO_DEVICE inline void copy(int32_t* to, int32_t first, const int32_t* from, int32_t count) {
  put(to, first, count, [&](const Lane<int32_t>& i) { return load(from, i); });
}

OSTINATO_DEVICE inline void set(Slot& slot, const Enter& e) {
  slot.length = e.history_count;
  slot.prompt_length = e.prompt_length;
  slot.limit = e.limit;
  slot.stops_count = e.stops_count;
  slot.temperature = e.temperature;
  slot.top_k = e.top_k;
  slot.top_p = e.top_p;
  slot.min_p = e.min_p;
  slot.presence = e.presence;
  slot.frequency = e.frequency;
  slot.repetition = e.repetition;
  slot.seed_low = e.seed_low;
  slot.seed_high = e.seed_high;
  slot.choice = e.choice;
  slot.logprobs = e.logprobs;
  slot.bias_count = e.bias_count;
}

OSTINATO_DEVICE inline void enter(const Machine& m, const Packet& packet, const Enter& e) {
  set(m.slot(e.slot), e);
  copy(m.history(e.slot), 0, packet.pool + e.history, e.history_count);
  copy(m.stops(e.slot), 0, packet.pool + e.stops, e.stops_count);
  copy(m.bias(e.slot), 0, packet.pool + e.bias, 2 * e.bias_count);
  const Layout& layout = m.layout();
  for (int32_t cache = 0; cache < layout.caches; ++cache) {
    put(m.table(e.slot, cache), 0, layout.blocks_per_sequence,
        [](const Lane<int32_t>&) { return Lane<int32_t>(-1); });
  }
}

OSTINATO_DEVICE inline void tokens(const Machine& m, const Packet& packet, const Span& span) {
  if (span.tokens == kFromState) return;
  copy(m.history(span.slot), span.start, packet.pool + span.tokens, span.count);
  m.slot(span.slot).length = span.start;
}

// A run's first step is done as a single step would be: for every slot.
OSTINATO_DEVICE inline void start(const Machine& m, const Packet& packet) {
  for (int32_t first = 0; first < packet.header.spans; first += kLanes) {
    const Mask inside = lane_index() + first < packet.header.spans;
    const Lane<int32_t> slot = field(packet.spans, &Span::slot, select(inside, lane_index() + first, 0));
    set_field_where(inside, &m.slot(0), &Slot::stopped, slot, Lane<int32_t>(0));
  }
}

}  // namespace begin

OSTINATO_DEVICE inline void run(const call::Begin&, const Machine& m, Work& w) {
  if (w.block != 0) return;
  const Packet packet(m);
  const auto mine = [&](int32_t number) { return number % w.block_warps == w.block_warp; };
  for (int32_t i = 0; i < packet.header.enters; ++i) {
    if (mine(packet.enters[i].slot)) begin::enter(m, packet, packet.enters[i]);
  }
  for (int32_t i = 0; i < packet.header.tables; ++i) {
    const Table& t = packet.tables[i];
    if (mine(t.slot)) begin::copy(m.table(t.slot, t.cache), t.first, packet.pool + t.blocks, t.count);
  }
  for (int32_t i = 0; i < packet.header.spans; ++i) {
    if (mine(packet.spans[i].slot)) begin::tokens(m, packet, packet.spans[i]);
  }
  w.sync();
  if (w.block_warp != 0) return;
  begin::start(m, packet);
  m.step().steps = packet.header.steps;
  m.step().step = 0;
  m.step().running = packet.header.spans;
}

}  // namespace ostinato::cuda
