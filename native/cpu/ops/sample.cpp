// sample: bias, penalties, mask, temperature, top-k, top-p, min-p, and a draw by Gumbel noise, span by span.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "cpu/candidates.h"
#include "cpu/machine.h"

namespace ostinato::cpu {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

// Repetition looks at all tokens before the position, presence and frequency at those after the prompt.
void penalise(const Slot& slot, int32_t position, SampleScratch& s) {
  const Enter& e = slot.settings;
  const int32_t* history = slot.history.data();
  for (const auto& [token, bias] : slot.bias) s.scores[token] += bias;
  if (e.repetition != 1) {
    for (int32_t p = 0; p < position; ++p) {
      if (s.counts[history[p]]++ > 0) continue;
      float& score = s.scores[history[p]];
      score = score > 0 ? score / e.repetition : score * e.repetition;
    }
    for (int32_t p = 0; p < position; ++p) s.counts[history[p]] = 0;
  }
  if (e.presence != 0 || e.frequency != 0) {
    for (int32_t p = e.prompt_length; p < position; ++p) ++s.counts[history[p]];
    for (int32_t p = e.prompt_length; p < position; ++p) {
      const auto count = static_cast<float>(std::exchange(s.counts[history[p]], 0));
      if (count == 0) continue;
      s.scores[history[p]] -= e.presence;
      s.scores[history[p]] -= e.frequency * count;
    }
  }
}

void apply_mask(const int32_t* mask, int64_t vocab, float* scores) {
  for (int64_t t = 0; t < vocab; ++t) {
    if (!(mask[t / 32] >> (t % 32) & 1)) scores[t] = kNone;
  }
}

// The token, or kNoNumber where no score is a number.
int32_t choose(const Machine& m, const Draw& draw, const Slot& slot, const float* logits, SampleScratch& s) {
  const int64_t vocab = m.model.limits.vocab;
  const Enter& e = slot.settings;
  std::copy_n(logits, vocab, s.scores.data());
  penalise(slot, draw.position, s);
  if (draw.mask != nullptr) apply_mask(draw.mask, vocab, s.scores.data());
  for (int64_t t = 0; t < vocab; ++t) s.scores[t] = std::isnan(s.scores[t]) ? kNone : s.scores[t];
  const float best = m.vectors.max(s.scores.data(), vocab);
  if (best == kNone) return kNoNumber;
  if (e.temperature == 0 || std::isinf(best / e.temperature)) {  // the draw is certain
    return static_cast<int32_t>(std::find(s.scores.data(), s.scores.data() + vocab, best) - s.scores.data());
  }
  for (int64_t t = 0; t < vocab; ++t) s.scores[t] /= e.temperature;
  const Candidates left = keep(m.vectors, e, vocab, s);
  const uint32_t key[2] = {static_cast<uint32_t>(e.seed_low), static_cast<uint32_t>(e.seed_high)};
  Best drawn{kNone, -1};
  m.vectors.draw(left.scores, left.ids, left.count, key, static_cast<uint32_t>(draw.position),
                 static_cast<uint32_t>(e.choice), &drawn);
  return drawn.token;
}

// The step's draws before anything is drawn.
void clear(Result& r, int64_t first, int64_t count) {
  constexpr float kNotAsked = std::numeric_limits<float>::quiet_NaN();
  std::fill_n(r.tokens.data() + first, count, kNothing);
  std::fill_n(r.logprobs.data() + first, count, kNotAsked);
  std::fill_n(r.top_ids.data() + first * kMaxTopLogprobs, count * kMaxTopLogprobs, -1);
  std::fill_n(r.top_logprobs.data() + first * kMaxTopLogprobs, count * kMaxTopLogprobs, kNotAsked);
}

// Log softmax of the raw logits, at the token and at the best.
void report(const Machine& m, int64_t at, int32_t token, int32_t wanted, const float* logits,
            SampleScratch& s) {
  Result& r = *m.result;
  int32_t* ids = r.top_ids.data() + at * kMaxTopLogprobs;
  float* logprobs = r.top_logprobs.data() + at * kMaxTopLogprobs;
  if (wanted < 0) return;
  const int64_t vocab = m.model.limits.vocab;
  const float highest = m.vectors.max(logits, vocab);
  const float log_sum = std::log(m.vectors.sum_exp(logits, highest, vocab));
  r.logprobs[at] = logits[token] - highest - log_sum;
  const int64_t count =
      wanted == 0 ? 0 : select_best(logits, vocab, std::min<int64_t>(wanted, vocab), s.keys.data());
  std::sort(s.keys.data(), s.keys.data() + count, std::greater<>());
  for (int64_t i = 0; i < count; ++i) {
    ids[i] = id_of(s.keys[i]);
    logprobs[i] = logits[ids[i]] - highest - log_sum;
  }
}

}  // namespace

void run(const op::Sample& i, Machine& m) {
  std::fill_n(m.data<int32_t>(i.tokens), m.rows.logit_count, -1);
  Result& result = *m.result;
  if (m.step == 0) result.draws = m.rows.samplers;  // later it may be read already, and is the same
  const int64_t first = int64_t{m.step} * m.rows.samplers;
  clear(result, first, m.rows.samplers);
  m.share(m.rows.draws, 8 * m.rows.draws * m.width(i.logits), [&](int64_t number, int thread) {
    const Draw& draw = m.rows.draw[number];
    Slot& slot = m.state.slot(draw.slot);
    SampleScratch& scratch = m.scratch.sample[thread];
    const float* logits = m.row(i.logits, draw.row);
    const int32_t drawn = slot.failed ? kNoNumber : choose(m, draw, slot, logits, scratch);
    const int32_t token = std::max(drawn, 0);
    report(m, first + draw.number, token, slot.settings.logprobs, logits, scratch);
    if (m.step == 0) result.slots[draw.number] = draw.slot;
    result.tokens[first + draw.number] = drawn;
    slot.stopped = drawn == kNoNumber;
    m.row<int32_t>(i.tokens, draw.row)[0] = slot.history[draw.position] = token;
  });
}

}  // namespace ostinato::cpu
