// foresee, fetch, drop: what is read ahead, and layers that are there only while they are computed with.
// Without a store all weights are resident.
#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "cpu/machine.h"

namespace ostinato::cpu {
namespace {

constexpr double kHalfLife = 64;  // uses of an expert, after which what followed it counts half

// Of every row of a value: slot x 2^32 + position.
std::vector<int64_t> places(int32_t value, const Machine& m) {
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < m.count(value); ++row) {
    const int64_t token = m.token_of(value, row);
    rows.push_back((int64_t{m.rows.slot[token]} << 32) + m.rows.position[token]);
  }
  return rows;
}

// What the step before wanted of its last stack, this one's first follows only where each row is the next
// token of its sequence. A prompt's are not: their next ones stand beside them in the same step.
void learn(Followers& followers, int32_t stack, const op::Foresee& i, const Machine& m) {
  const int64_t top_k = m.width(i.ids);
  if (stack == 0 && places(i.ids, m) != followers.next) followers.transitions.restart();
  followers.transitions.observe(stack, {m.data<int32_t>(i.ids), static_cast<size_t>(m.count(i.ids) * top_k)},
                                static_cast<int32_t>(top_k));
  if (stack + 1 < followers.transitions.stacks()) return;
  followers.next = places(i.ids, m);
  for (int64_t& place : followers.next) ++place;
}

// The experts that are guessed, once for every row that may go to them.
std::vector<int32_t> guesses(const op::Foresee& i, Machine& m) {
  const int64_t rows = m.count(i.ids), top_k = m.width(i.ids);
  const std::span<const int32_t> ids(m.data<int32_t>(i.ids), rows * top_k);
  if (i.follow == 0) return {ids.begin(), ids.end()};
  const std::vector<int32_t>& first = m.followers->first;
  const auto stack = std::find(first.begin(), first.end(), m.weight(i.up).parcel) - first.begin();
  const auto before = static_cast<int32_t>((stack + first.size() - 1) % first.size());
  learn(*m.followers, before, i, m);
  std::vector<int32_t> found;
  for (int64_t row = 0; row < rows; ++row) {
    m.followers->transitions.predict(before, ids.subspan(row * top_k, top_k), i.follow, found);
  }
  return found;
}

}  // namespace

// The first stack in the order of the statistics is the one that the last hint is for: it speaks of the next
// token.
std::unique_ptr<Followers> Followers::of(const Program& program) {
  std::vector<int32_t> first, experts;
  const std::vector<int32_t>& words = program.instructions;
  for (size_t at = 0; at < words.size(); at += op::kWords[words[at]]) {
    const auto& i = *reinterpret_cast<const op::Foresee*>(&words[at]);
    if (words[at] != static_cast<int32_t>(op::Foresee::kOpcode) || i.follow == 0) continue;
    const Weight& up = program.weights[i.up];
    first.push_back(up.parcel), experts.push_back(static_cast<int32_t>(up.experts));
  }
  if (first.empty()) return nullptr;
  std::rotate(first.begin(), first.end() - 1, first.end());
  std::rotate(experts.begin(), experts.end() - 1, experts.end());
  return std::make_unique<Followers>(
      Followers{std::move(first), memory::Transitions(std::move(experts), kHalfLife)});
}

// What most rows may go to is hinted first; of equal ones, what comes first in a row: the likeliest.
void run(const op::Foresee& i, Machine& m) {
  const Weight& up = m.weight(i.up);
  if (!up.streamed()) return;
  std::vector<int32_t>& counts = m.scratch.experts.counts;
  counts.assign(up.experts, 0);
  std::vector<int32_t>& parcels = m.foreseen;
  const auto begin = static_cast<std::ptrdiff_t>(parcels.size());
  for (const int32_t expert : guesses(i, m)) {
    if (counts[expert]++ == 0) parcels.push_back(up.parcel + expert);
  }
  std::stable_sort(parcels.begin() + begin, parcels.end(),
                   [&](int32_t a, int32_t b) { return counts[a - up.parcel] > counts[b - up.parcel]; });
  if (i.behind == 0) m.hint_foreseen();
}

void run(const op::Fetch& i, Machine& m) {
  if (m.store == nullptr) return;
  m.request->want({&i.parcel, 1});
  for (const int32_t* coming : {&i.next, &i.after}) {
    if (*coming >= 0) m.store->hint({coming, 1});
  }
  const memory::Arrival arrival = m.request->wait(i.parcel);
  if (!arrival.error.empty()) return m.abandon(arrival.error);
  for (Weight& weight : m.program->weights) {
    if (weight.by_expert || weight.parcel != i.parcel) continue;
    int32_t extent = weight.extent;
    for (Piece& piece : weight.pieces) m.place(piece, i.parcel, extent++);
  }
}

void run(const op::Drop& i, Machine& m) {
  if (m.store != nullptr) m.request->release(i.parcel);
}

}  // namespace ostinato::cpu
