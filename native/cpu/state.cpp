#include "cpu/state.h"

#include <algorithm>
#include <cstring>

namespace ostinato::cpu {

Rows::Rows(const Limits& limits)
    : slot(limits.max_rows),
      position(limits.max_rows),
      token(limits.max_rows),
      span_of(limits.max_rows),
      logit(limits.max_logit_rows),
      draw(limits.max_logit_rows),
      span(limits.max_sequences) {}

StepState::StepState(const Limits& limits, int32_t caches)
    : limits_(limits),
      caches_(caches),
      slots_(limits.max_sequences),
      tables_(static_cast<size_t>(limits.max_sequences) * caches * limits.blocks_per_sequence()) {
  for (Slot& slot : slots_) slot.history = Buffer<int32_t>(limits.context + 1);
  std::fill_n(tables_.data(), tables_.size(), -1);
}

namespace {

void clear(Rows& rows) {
  rows.count = rows.prompt = rows.logit_count = rows.logit_prompt = 0;
  rows.draws = rows.spans = rows.samplers = 0;
}

}  // namespace

void StepState::apply(const Packet& packet, Rows& rows) {
  for (const Enter& e : packet.enters) enter(packet, e);
  for (const Table& t : packet.tables) {
    std::copy_n(packet.pool.begin() + t.blocks, t.count, &tables_[table_at(t.cache, t.slot) + t.first]);
  }
  clear(rows);
  for (const Span& span : packet.spans) {
    Slot& slot = slots_[span.slot];
    if (span.tokens != kFromState) {
      std::copy_n(packet.pool.begin() + span.tokens, span.count, slot.history.data() + span.start);
      slot.length = span.start;
    }
    slot.stopped = slot.failed = false;
    lay_out(packet, span, rows);
  }
}

void StepState::enter(const Packet& packet, const Enter& e) {
  Slot& slot = slots_[e.slot];
  slot.settings = e;
  slot.length = e.history_count;
  std::copy_n(packet.pool.begin() + e.history, e.history_count, slot.history.data());
  std::copy_n(packet.pool.begin() + e.stops, e.stops_count, slot.stops.data());
  std::fill_n(&tables_[table_at(0, e.slot)], caches_ * limits_.blocks_per_sequence(), -1);
  slot.bias.clear();
  for (int32_t i = 0; i < e.bias_count; ++i) {
    float bias;
    std::memcpy(&bias, &packet.pool[e.bias + 2 * i + 1], sizeof bias);
    slot.bias.emplace_back(packet.pool[e.bias + 2 * i], bias);
  }
}

// Appends the span with its rows, logit rows and draw.
void StepState::lay_out(const Packet& packet, const Span& span, Rows& rows) {
  const Slot& slot = slots_[span.slot];
  rows.span[rows.spans++] = {rows.count, span.count};
  for (int32_t i = 0; i < span.count; ++i, ++rows.count) {
    rows.span_of[rows.count] = rows.spans - 1;
    rows.slot[rows.count] = span.slot;
    rows.position[rows.count] = slot.length + i;
    rows.token[rows.count] = slot.history[slot.length + i];
  }
  for (int32_t i = rows.count - span.logit_rows; i < rows.count; ++i) rows.logit[rows.logit_count++] = i;
  if (span.kind == static_cast<int32_t>(Kind::kPrompt)) {
    rows.prompt = rows.count;
    rows.logit_prompt = rows.logit_count;
  }
  if (span.sample) {
    const auto mask = std::find_if(packet.masks.begin(), packet.masks.end(),
                                   [&](const Mask& m) { return m.slot == span.slot; });
    rows.draw[rows.draws++] = {rows.samplers++, rows.logit_count - 1, span.slot, slot.length + span.count,
                               mask == packet.masks.end() ? nullptr : &packet.pool[mask->bits]};
  }
}

void StepState::finish(const Rows& rows) {
  for (int32_t row = 0; row < rows.count; ++row) slots_[rows.slot[row]].length = rows.position[row] + 1;
}

bool StepState::next(const Packet& packet, Rows& rows) {
  clear(rows);
  for (const Span& span : packet.spans) {
    Slot& slot = slots_[span.slot];
    slot.stopped = slot.stopped || !goes_on(span.slot);
    if (slot.stopped) {
      ++rows.samplers;
    } else {
      lay_out(packet, span, rows);
    }
  }
  return rows.count > 0;
}

// As backends/stepstate.py has it; a slot without a number to draw from has stopped already.
bool StepState::goes_on(int32_t index) const {
  const Slot& slot = slots_[index];
  const auto stops = slot.stops.begin(), end = stops + slot.settings.stops_count;
  if (std::find(stops, end, slot.history[slot.length]) != end) return false;
  if (slot.length + 1 >= slot.settings.limit || slot.length >= limits_.context) return false;
  for (int32_t cache = 0; cache < caches_; ++cache) {
    if (table(cache, index)[slot.length / limits_.block_size] < 0) return false;
  }
  return true;
}

}  // namespace ostinato::cpu
