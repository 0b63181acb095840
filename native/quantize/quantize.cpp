#include "quantize/quantize.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <span>

#include "joined.h"
#include "quantize/half.h"

namespace ostinato::quantize {
namespace {

// `count` values from `start` on; those behind them, up to kChunk, are zero.
void load(const Source& source, int64_t start, int count, float* x) {
  if (source.type == TensorType::kF32) {
    std::memcpy(x, source.data + 4 * start, sizeof(float) * count);
  } else {
    uint16_t bits[kChunk];
    std::memcpy(bits, source.data + 2 * start, sizeof(uint16_t) * count);
    if (source.type == TensorType::kF16)
      for (int i = 0; i < count; ++i) x[i] = from_half(bits[i]);
    else
      for (int i = 0; i < count; ++i) x[i] = from_bfloat(bits[i]);
  }
  std::fill(x + count, x + kChunk, 0.0f);
}

// One chunk. Returns the first value of the first block that cannot be encoded, or `count`.
int encode_chunk(const Source& source, int64_t start, int count, const Encoder& encoder, uint8_t* out) {
  const BlockShape shape = block_shape(encoder.type);
  alignas(64) float x[kChunk];
  load(source, start, count, x);
  // Comparisons with NaN are false.
  const float* bad = std::find_if_not(x, x + count, [&](float v) { return std::fabs(v) < encoder.limit; });
  if (bad != x + count) return static_cast<int>(bad - x) / shape.elements * shape.elements;
  return encoder.encode(x, count / shape.elements, out + start / shape.elements * shape.bytes) *
         shape.elements;
}

// Calls task(i) for every i below `count`, on up to `threads` threads.
template <class Task>
void parallel(int64_t count, int threads, const Task& task) {
  std::atomic<int64_t> next{0};
  const auto work = [&] {
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) task(i);
  };
  Joined helpers;
  for (int64_t i = 1; i < std::min<int64_t>(threads, count); ++i) helpers.start(work);
  work();
}

}  // namespace

const Encoder* find_encoder(const Level& level, TensorType type) {
  const std::span encoders(level.encoders, level.count);
  const auto found = std::ranges::find(encoders, type, &Encoder::type);
  return found == encoders.end() ? nullptr : &*found;
}

int64_t encode(const Source& source, int64_t count, const Encoder& encoder, int threads, uint8_t* out) {
  std::atomic<int64_t> first_bad{count};
  parallel((count + kChunk - 1) / kChunk, threads, [&](int64_t chunk) {
    const int64_t start = chunk * kChunk;
    const int length = static_cast<int>(std::min<int64_t>(kChunk, count - start));
    const int done = encode_chunk(source, start, length, encoder, out);
    if (done == length) return;
    for (int64_t seen = first_bad;
         start + done < seen && !first_bad.compare_exchange_weak(seen, start + done);) {
    }
  });
  return first_bad == count ? -1 : first_bad.load();
}

}  // namespace ostinato::quantize
