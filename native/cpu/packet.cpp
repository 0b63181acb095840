#include "cpu/packet.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace ostinato::cpu {
namespace {

// Takes `count` records off the front of `words`; false where there are fewer.
template <class Record>
bool section(std::span<const int32_t>& words, int32_t count, std::span<const Record>& out) {
  const size_t size = sizeof(Record) / sizeof(int32_t);
  if (count < 0 || static_cast<size_t>(count) > words.size() / size) return false;
  out = {reinterpret_cast<const Record*>(words.data()), static_cast<size_t>(count)};
  words = words.subspan(count * size);
  return true;
}

// Elements [offset, offset + count) of the pool, if it has them.
bool in_pool(const Packet& packet, int64_t offset, int64_t count) {
  return offset >= 0 && count >= 0 && offset + count <= static_cast<int64_t>(packet.pool.size());
}

bool within(float value, float low, float high) { return value >= low && value <= high; }  // false for NaN

std::string about_slot(int32_t slot, const std::string& what) {
  return "slot " + std::to_string(slot) + ": " + what;
}

}  // namespace

std::string Packet::parse(std::span<const int32_t> from) {
  words.assign(from.begin(), from.end());
  std::span<const int32_t> rest = words;
  std::span<const Header> head;
  if (!section(rest, 1, head)) return "a packet without a header";
  if (!section(rest, head[0].spans, spans) || !section(rest, head[0].enters, enters) ||
      !section(rest, head[0].tables, tables) || !section(rest, head[0].masks, masks) ||
      head[0].pool != static_cast<int64_t>(rest.size())) {
    return "the packet's sections do not add up to its " + std::to_string(words.size()) + " words";
  }
  pool = rest;
  return "";
}

Admission::Admission(const Limits& limits, int32_t caches, bool recurrent)
    : limits_(limits),
      caches_(caches),
      recurrent_(recurrent),
      slots_(limits.max_sequences),
      seen_(limits.max_sequences) {
  for (Slot& slot : slots_) slot.blocks.assign(caches, 0);
  draft_ = slots_;
}

std::string Admission::admit(const Packet& packet) {
  draft_ = slots_;
  std::string error = check(packet);
  if (error.empty()) slots_.swap(draft_);
  return error;
}

void Admission::collected(const Packet& packet, std::span<const int32_t> rows) {
  for (size_t i = 0; i < packet.spans.size(); ++i) {
    Slot& slot = slots_[packet.spans[i].slot];
    slot.length += rows[i];
    slot.in_run = false;
  }
}

std::string Admission::check(const Packet& packet) {
  std::string error = check_counts(packet);
  if (error.empty()) error = check_run(packet);
  for (size_t i = 0; error.empty() && i < packet.enters.size(); ++i)
    error = check_enter(packet, packet.enters[i]);
  for (size_t i = 0; error.empty() && i < packet.tables.size(); ++i)
    error = check_table(packet, packet.tables[i]);
  for (size_t i = 0; error.empty() && i < packet.masks.size(); ++i)
    error = check_mask(packet, packet.masks[i]);
  std::fill(seen_.begin(), seen_.end(), 0);
  for (size_t i = 0; error.empty() && i < packet.spans.size(); ++i)
    error = check_span(packet, packet.spans[i]);
  return error;
}

// The header's row counts are those of the spans, and within the plan.
std::string Admission::check_counts(const Packet& packet) const {
  int64_t rows = 0, prompt_rows = 0, logit_rows = 0;
  bool generated = false;
  for (const Span& span : packet.spans) {
    const bool prompt = span.kind == static_cast<int32_t>(Kind::kPrompt);
    if (!prompt && span.kind != static_cast<int32_t>(Kind::kGenerated)) return "a span of no known kind";
    if (prompt && generated) return "a prompt span follows a generated span; prompt spans come first";
    if (span.count < 1 || span.logit_rows < 0) return "a span without rows";
    generated = !prompt;
    rows += span.count, logit_rows += span.logit_rows, prompt_rows += prompt ? span.count : 0;
  }
  const Header& head = packet.header();
  if (rows != head.rows || prompt_rows != head.prompt_rows || logit_rows != head.logit_rows) {
    return "the header's row counts are not those of the spans";
  }
  if (rows > limits_.max_rows)
    return std::to_string(rows) + " rows; the plan allows " + std::to_string(limits_.max_rows);
  if (logit_rows > limits_.max_logit_rows) {
    return std::to_string(logit_rows) + " logit rows; the plan allows " +
           std::to_string(limits_.max_logit_rows);
  }
  return "";
}

std::string Admission::check_run(const Packet& packet) const {
  const int32_t steps = packet.header().steps;
  if (steps < 1 || steps > limits_.max_steps) {
    return "a run of " + std::to_string(steps) + " steps; this executable takes 1 to " +
           std::to_string(limits_.max_steps);
  }
  if (steps == 1) return "";
  if (!packet.masks.empty()) return "a mask holds for one step; a run has several";
  for (const Span& span : packet.spans) {
    if (span.kind != static_cast<int32_t>(Kind::kGenerated) || span.tokens != kFromState || span.sample != 1)
      return about_slot(span.slot, "a run has only single generated rows from StepState that sample");
  }
  return "";
}

std::string Admission::check_enter(const Packet& packet, const Enter& e) {
  const auto fail = [&](const std::string& what) { return about_slot(e.slot, "enters with " + what); };
  if (e.slot < 0 || e.slot >= limits_.max_sequences) return fail("a slot outside the plan");
  if (draft_[e.slot].in_run) return fail("its run not collected");
  if (e.history_count > limits_.context || !in_pool(packet, e.history, e.history_count))
    return fail("a history too long");
  if (!tokens_known(packet.pool.subspan(e.history, e.history_count)))
    return fail("a history token outside the vocabulary");
  if (e.prompt_length < 0) return fail("a negative prompt length");
  if (!within(e.temperature, 0, 100)) return fail("a temperature outside 0..100");
  if (e.top_k < 0) return fail("a negative top_k");
  if (!within(e.top_p, 0, 1) || !within(e.min_p, 0, 1)) return fail("top_p or min_p outside 0..1");
  if (!within(e.presence, -2, 2) || !within(e.frequency, -2, 2))
    return fail("a presence or frequency penalty outside -2..2");
  if (!within(e.repetition, 1e-3f, 1e3f)) return fail("a repetition penalty outside 0.001..1000");
  if (e.logprobs < -1 || e.logprobs > kMaxTopLogprobs) return fail("logprobs outside -1..20");
  if (!in_pool(packet, e.bias, 2 * static_cast<int64_t>(e.bias_count))) return fail("a bias list too long");
  for (int32_t i = 0; i < e.bias_count; ++i) {
    float bias;
    std::memcpy(&bias, &packet.pool[e.bias + 2 * i + 1], sizeof bias);
    if (!tokens_known(packet.pool.subspan(e.bias + 2 * i, 1)))
      return fail("a bias for a token outside the vocabulary");
    if (!std::isfinite(bias)) return fail("a bias that is not finite");
  }
  if (e.stops_count < 0 || e.stops_count > kMaxStops || !in_pool(packet, e.stops, e.stops_count))
    return fail("stop tokens beyond the packet, or more than " + std::to_string(kMaxStops));
  draft_[e.slot].length = e.history_count;
  draft_[e.slot].computed = e.history_count == 0;
  std::fill(draft_[e.slot].blocks.begin(), draft_[e.slot].blocks.end(), 0);
  return "";
}

std::string Admission::check_table(const Packet& packet, const Table& t) {
  if (t.slot < 0 || t.slot >= limits_.max_sequences)
    return about_slot(t.slot, "a table for a slot outside the plan");
  if (t.cache < 0 || t.cache >= caches_)
    return about_slot(t.slot, "a table of cache " + std::to_string(t.cache) + ", which is not declared");
  if (draft_[t.slot].in_run) return about_slot(t.slot, "a table while its run is not collected");
  const int64_t end = static_cast<int64_t>(t.first) + t.count;
  int32_t& known = draft_[t.slot].blocks[t.cache];
  if (t.first < 0 || t.first > known || t.count < 0 || end > limits_.blocks_per_sequence() ||
      !in_pool(packet, t.blocks, t.count)) {
    return about_slot(t.slot, "table entries " + std::to_string(t.first) + "+" + std::to_string(t.count) +
                                  " after " + std::to_string(known) + " of at most " +
                                  std::to_string(limits_.blocks_per_sequence()));
  }
  for (const int32_t block : packet.pool.subspan(t.blocks, t.count)) {
    if (block < 0 || block >= limits_.blocks)
      return about_slot(t.slot,
                        "block " + std::to_string(block) + " outside 0.." + std::to_string(limits_.blocks));
  }
  known = std::max(known, static_cast<int32_t>(end));
  return "";
}

std::string Admission::check_mask(const Packet& packet, const Mask& mask) const {
  if (mask.slot < 0 || mask.slot >= limits_.max_sequences)
    return about_slot(mask.slot, "a mask for a slot outside the plan");
  const int32_t words = (limits_.vocab + 31) / 32;
  if (!in_pool(packet, mask.bits, words)) return about_slot(mask.slot, "a mask shorter than the vocabulary");
  for (int32_t token = 0; token < limits_.vocab; ++token) {
    if (packet.pool[mask.bits + token / 32] >> (token % 32) & 1) return "";
  }
  return about_slot(mask.slot, "a mask that allows no token");
}

std::string Admission::check_span(const Packet& packet, const Span& span) {
  const auto fail = [&](const std::string& what) { return about_slot(span.slot, what); };
  if (span.slot < 0 || span.slot >= limits_.max_sequences) return fail("outside the plan");
  if (seen_[span.slot]) return fail("appears in two spans");
  seen_[span.slot] = 1;
  Slot& slot = draft_[span.slot];
  if (slot.in_run) return fail("its run is not collected");
  const bool from_state = span.tokens == kFromState;
  if (from_state && span.count != 1) return fail("more than one row without tokens");
  if (!from_state && (!in_pool(packet, span.tokens, span.count) ||
                      !tokens_known(packet.pool.subspan(span.tokens, span.count)))) {
    return fail("a token outside the vocabulary of " + std::to_string(limits_.tokens));
  }
  const int64_t start = from_state ? slot.length : span.start;
  const int64_t end = start + span.count;
  if (const std::string error = check_state(slot, start); !error.empty()) return fail(error);
  slot.computed = slot.computed || start == 0;
  if (start < 0 || end > limits_.context) {
    return fail("positions " + std::to_string(start) + "+" + std::to_string(span.count) +
                "; the context is " + std::to_string(limits_.context));
  }
  if (span.logit_rows > span.count || span.sample > span.logit_rows || span.sample < 0 || span.sample > 1) {
    return fail(std::to_string(span.logit_rows) + " logit rows of " + std::to_string(span.count));
  }
  if (span.adapter != 0) return fail("adapter " + std::to_string(span.adapter) + " is not loaded");
  for (const int32_t known : slot.blocks) {
    if (static_cast<int64_t>(known) * limits_.block_size < end)
      return fail("the block table ends before position " + std::to_string(end));
  }
  slot.in_run = packet.header().steps > 1;
  slot.length = static_cast<int32_t>(slot.in_run ? start : end);
  return "";
}

// As backends/stepstate.py has it: recurrent state goes on where it stands, or begins anew.
std::string Admission::check_state(const Slot& slot, int64_t start) const {
  if (!recurrent_ || start == 0 || (slot.computed && start == slot.length)) return "";
  const std::string stands = slot.computed ? "stands at " + std::to_string(slot.length) : "is not here";
  return "rows from position " + std::to_string(start) + ", its recurrent state " + stands +
         "; compute it again from position 0";
}

bool Admission::tokens_known(std::span<const int32_t> tokens) const {
  return std::all_of(tokens.begin(), tokens.end(), [&](int32_t t) { return t >= 0 && t < limits_.tokens; });
}

}  // namespace ostinato::cpu
