// rope: rotates the first `dims` elements of each head by the row's angles; out may be x.
#pragma once
#include "elements.h"

namespace ostinato::cuda {

// A head is taken in units: each of its dims / 2 pairs, then each element that is not rotated.
OSTINATO_DEVICE inline void run(const call::Rope& c, const Machine& m, Work& w) {
  const int32_t length = c.width / c.heads, pairs = c.dims / 2, units = length - pairs;
  const bool norm = c.style == static_cast<int32_t>(RopeStyle::kNorm);
  const auto rotate = [&](int32_t row, const Lane<int32_t>& unit, const Mask& inside) {
    const Lane<int32_t> i = unit % units, head = row * c.width + unit / units * length;
    const Mask pair = inside && i < pairs;
    const Lane<int32_t> first = head + select(i < pairs, norm ? 2 * i : i, i + pairs);
    const Lane<int32_t> second = first + (norm ? 1 : pairs), turn = row * c.dims + 2 * i;
    const Lane<float> a = load_where(inside, m.floats(c.x), first, 0.0f);
    const Lane<float> b = load_where(pair, m.floats(c.x), second, 0.0f);
    const Lane<float> cosine = load_where(pair, m.floats(c.angles), turn, 1.0f);
    const Lane<float> sine = load_where(pair, m.floats(c.angles), turn + 1, 0.0f);
    store_where(inside, m.floats(c.out), first, select(pair, a * cosine - b * sine, a));
    store_where(pair, m.floats(c.out), second, a * sine + b * cosine);
  };
  for_each_piece(w, m.step().rows, c.heads * units, rotate);
}

}  // namespace ostinato::cuda
