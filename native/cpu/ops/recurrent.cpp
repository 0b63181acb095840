// conv, delta, scan: state that lies in a sequence's slot and moves row by row. A task is one sequence and
// the channels or the head whose state does not meet the others.
#include <algorithm>
#include <cmath>

#include "cpu/machine.h"

namespace ostinato::cpu {
namespace {

constexpr int64_t kChannels = 512;  // of one task of `conv`

// The state that a span finds, from element `first` on; the caller clears it where the sequence begins.
float* state_of(const Machine& m, int32_t group, int32_t index, const RowSpan& span, int64_t first) {
  const StateGroup& shape = m.model.states[group];
  const int64_t slot = m.rows.slot[span.first];
  return m.recurrent[group].data() + (slot * shape.layers + index) * shape.elements + first;
}

bool begins(const Machine& m, const RowSpan& span) { return m.rows.position[span.first] == 0; }

// The state becomes the last `taps - 1` rows of itself, followed by the span's.
void keep_last(const Machine& m, int32_t x, const RowSpan& span, int64_t taps, int64_t first, int64_t count,
               float* past) {
  const int64_t channels = m.width(x), kept = taps - 1;
  for (int64_t t = 0; t < kept; ++t) {
    const int64_t from = span.count + t;  // of past and the span's rows, one after the other
    const float* row = from < kept ? past + from * channels : m.row(x, span.first + from - kept) + first;
    std::copy_n(row, count, past + t * channels);
  }
}

void conv_span(const op::Conv& i, Machine& m, const RowSpan& span, int64_t first, int64_t count,
               RecurrentScratch& scratch) {
  const int64_t channels = m.width(i.x), taps = m.weight(i.kernel).k, kept = taps - 1;
  float* past = state_of(m, i.state, i.index, span, first);
  for (int64_t t = 0; begins(m, span) && t < kept; ++t) std::fill_n(past + t * channels, count, 0.0f);
  const float* bias = i.bias < 0 ? nullptr : m.vector(i.bias) + first;
  for (int64_t row = 0; row < span.count; ++row) {
    for (int64_t t = 0; t < taps; ++t) {
      const int64_t from = row + t;  // as in keep_last
      scratch.window[t] = from < kept ? past + from * channels : m.row(i.x, span.first + from - kept) + first;
    }
    float* out = m.row(i.out, span.first + row) + first;
    m.vectors.conv(scratch.window.data(), m.vector(i.kernel) + first, channels, bias,
                   static_cast<int32_t>(taps), count, out);
    m.vectors.activate(static_cast<Activation>(i.act), out, count, out);
  }
  keep_last(m, i.x, span, taps, first, count, past);
}

// One value head of a span.
void delta_span(const op::Delta& i, Machine& m, const RowSpan& span, int64_t head, float* kept) {
  const int64_t elements = int64_t{i.key_dim} * i.value_dim, decays = m.width(i.alpha) / i.value_heads;
  const bool grouped = i.order == static_cast<int32_t>(HeadOrder::kGrouped);
  const int64_t key = grouped ? head / (i.value_heads / i.heads) : head % i.heads;
  float* state = state_of(m, i.state, i.index, span, head * elements);
  if (begins(m, span)) std::fill_n(state, elements, 0.0f);
  for (int64_t row = span.first; row < span.first + span.count; ++row) {
    m.vectors.add(m.row(i.alpha, row) + head * decays, m.vector(i.bias) + head * decays, 1, decays, kept);
    m.vectors.activate(Activation::kSoftplus, kept, decays, kept);
    m.vectors.scale(kept, m.vector(i.decay)[head], 0, decays, kept);
    m.vectors.exp(kept, 0, decays, kept);
    float rate;
    m.vectors.activate(Activation::kSigmoid, m.row(i.beta, row) + head, 1, &rate);
    m.vectors.delta({state, m.row(i.q, row) + key * i.key_dim, m.row(i.k, row) + key * i.key_dim,
                     m.row(i.v, row) + head * i.value_dim, kept, decays > 1, rate, i.scale, i.key_dim,
                     i.value_dim, m.row(i.out, row) + head * i.value_dim});
  }
}

void scan_span(const op::Scan& i, Machine& m, const RowSpan& span, int64_t head) {
  const int64_t head_dim = m.width(i.x) / i.heads, elements = head_dim * i.state_dim;
  const int64_t shared = head / (i.heads / i.groups) * i.state_dim;
  float* state = state_of(m, i.state, i.index, span, head * elements);
  if (begins(m, span)) std::fill_n(state, elements, 0.0f);
  for (int64_t row = span.first; row < span.first + span.count; ++row) {
    float time = m.row(i.dt, row)[head] + m.vector(i.bias)[head];
    m.vectors.activate(Activation::kSoftplus, &time, 1, &time);
    m.vectors.scan({state, m.row(i.x, row) + head * head_dim, m.row(i.b, row) + shared,
                    m.row(i.c, row) + shared, std::exp(time * m.vector(i.decay)[head]), time,
                    m.vector(i.skip)[head], head_dim, i.state_dim, m.row(i.out, row) + head * head_dim});
  }
}

}  // namespace

void run(const op::Conv& i, Machine& m) {
  const int64_t channels = m.width(i.x), parts = (channels + kChannels - 1) / kChannels;
  m.share(m.rows.spans * parts, m.rows.count * channels * m.weight(i.kernel).k,
          [&](int64_t task, int thread) {
            const int64_t first = task % parts * kChannels, count = std::min(kChannels, channels - first);
            conv_span(i, m, m.rows.span[task / parts], first, count, m.scratch.recurrent[thread]);
          });
}

void run(const op::Delta& i, Machine& m) {
  const int64_t work = int64_t{m.rows.count} * i.value_heads * i.key_dim * i.value_dim;
  m.share(int64_t{m.rows.spans} * i.value_heads, work, [&](int64_t task, int thread) {
    delta_span(i, m, m.rows.span[task / i.value_heads], task % i.value_heads,
               m.scratch.recurrent[thread].kept.data());
  });
}

void run(const op::Scan& i, Machine& m) {
  const int64_t work = m.rows.count * m.width(i.x) * i.state_dim;
  m.share(int64_t{m.rows.spans} * i.heads, work,
          [&](int64_t task, int) { scan_span(i, m, m.rows.span[task / i.heads], task % i.heads); });
}

}  // namespace ostinato::cpu
