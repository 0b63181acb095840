// rows: the rows, logit rows and draws of a step, from the packet's spans and the slots. A warp per span.
#pragma once
#include "packet.h"

namespace ostinato::cuda {
namespace rows {

// What spans before some span have, or all of them.
struct Counts {
  int32_t rows, logit_rows, prompt_logit_rows, draws;
};

OSTINATO_DEVICE inline Counts before(const Packet& packet, int32_t end) {
  Lane<int32_t> rows = 0, logit_rows = 0, prompt_logit_rows = 0, draws = 0;
  for (int32_t first = 0; first < end; first += kLanes) {
    const Lane<int32_t> number = lane_index() + first;
    const Mask inside = number < end;
    const Lane<int32_t> at = select(inside, number, 0);
    const Lane<int32_t> logits = select(inside, field(packet.spans, &Span::logit_rows, at), 0);
    const Mask prompt = field(packet.spans, &Span::kind, at) == static_cast<int32_t>(Kind::kPrompt);
    rows += select(inside, field(packet.spans, &Span::count, at), 0);
    logit_rows += logits;
    prompt_logit_rows += select(prompt, logits, 0);
    draws += select(inside, field(packet.spans, &Span::sample, at), 0);
  }
  return {sum(rows), sum(logit_rows), sum(prompt_logit_rows), sum(draws)};
}

// The word of the packet at which the slot's mask begins; of several masks the last one holds.
OSTINATO_DEVICE inline int32_t mask_of(const Machine& m, const Packet& packet, int32_t slot) {
  Lane<int32_t> last = -1;
  for (int32_t first = 0; first < packet.header.masks; first += kLanes) {
    const Lane<int32_t> number = lane_index() + first;
    const Mask inside = number < packet.header.masks;
    const Lane<int32_t> of = field(packet.masks, &ostinato::Mask::slot, select(inside, number, 0));
    last = select(inside && of == slot, number, last);
  }
  const int32_t found = largest(last);
  if (found < 0) return kNoMask;
  return static_cast<int32_t>(packet.pool - m.packet) + packet.masks[found].bits;
}

OSTINATO_DEVICE inline void fill(const Machine& m, const Span& span, int32_t first) {
  const Slot& slot = m.slot(span.slot);
  const bool active = slot.stopped == 0;
  for (int32_t i = 0; i < span.count; i += kLanes) {
    const Lane<int32_t> offset = lane_index() + i;
    const Mask inside = offset < span.count;
    const Lane<int32_t> row = offset + first, position = offset + slot.length;
    store_where(inside, m.row_slot(), row, span.slot);
    store_where(inside, m.row_position(), row, select(inside && active, position, kInactive));
    store_where(inside, m.row_token(), row, load_where(inside && active, m.history(span.slot), position, 0));
  }
}

OSTINATO_DEVICE inline void fill_logit_rows(const Machine& m, const Span& span, const Counts& earlier) {
  const int32_t first = earlier.rows + span.count - span.logit_rows;
  for (int32_t i = 0; i < span.logit_rows; i += kLanes) {
    const Lane<int32_t> offset = lane_index() + i;
    store_where(offset < span.logit_rows, m.logit_row(), offset + earlier.logit_rows, offset + first);
  }
}

OSTINATO_DEVICE inline void fill_draw(const Machine& m, const Packet& packet, const Span& span,
                                      const Counts& earlier) {
  const Slot& slot = m.slot(span.slot);
  Draw& draw = m.draw(earlier.draws);
  draw.row = earlier.logit_rows + span.logit_rows - 1;
  draw.slot = span.slot;
  draw.position = slot.stopped == 0 ? slot.length + span.count : kInactive;
  draw.mask = mask_of(m, packet, span.slot);
}

OSTINATO_DEVICE inline void fill_step(Step& step, const Packet& packet) {
  const Counts all = before(packet, packet.header.spans);
  step.rows = packet.header.rows;
  step.prompt_rows = packet.header.prompt_rows;
  step.logit_rows = packet.header.logit_rows;
  step.prompt_logit_rows = all.prompt_logit_rows;
  step.draws = all.draws;
  step.steps = packet.header.steps;
}

}  // namespace rows

OSTINATO_DEVICE inline void run(const call::Rows&, const Machine& m, Work& w) {
  const Packet packet(m);
  for (int32_t i = w.warp; i < packet.header.spans; i += w.warps) {
    const Span& span = packet.spans[i];
    const rows::Counts earlier = rows::before(packet, i);
    rows::fill(m, span, earlier.rows);
    rows::fill_logit_rows(m, span, earlier);
    if (span.sample) rows::fill_draw(m, packet, span, earlier);
  }
  if (w.warp == 0) rows::fill_step(m.step(), packet);
}

}  // namespace ostinato::cuda
