// rms_norm: x / sqrt(mean(x^2) + eps) x gain over each group of a row.
//
// The squares are added in pieces whose length depends on the group's alone: lanes stride through a piece and
// are added by a butterfly, as are the pieces. A group of one piece is a warp's work, a longer one a block's.
#pragma once
#include "machine.h"

namespace ostinato::cuda {

// One group: where it lies, and its pieces (at most kLanes).
struct NormGroup {
  const float* x;
  const float* gain;
  float* out;
  int32_t length, piece;

  // At least 256 elements: eight for each lane.
  OSTINATO_DEVICE static int32_t piece_length(int32_t length) {
    const int32_t rows = (length + kLanes * kLanes - 1) / (kLanes * kLanes);
    return kLanes * (rows > 8 ? rows : 8);
  }
  OSTINATO_DEVICE int32_t pieces() const { return (length + piece - 1) / piece; }
  OSTINATO_DEVICE int32_t end(int32_t p) const { return p + 1 < pieces() ? (p + 1) * piece : length; }

  OSTINATO_DEVICE float sum_of_squares(int32_t p) const {
    Lane<float> total = 0.0f;
    for (int32_t first = p * piece; first < end(p); first += kLanes) {
      const Lane<int32_t> i = first + lane_index();
      const Lane<float> value = load_where(i < end(p), x, i, 0.0f);
      total = fma(value, value, total);
    }
    return sum(total);
  }

  OSTINATO_DEVICE void scale(int32_t p, float by) const {
    for (int32_t first = p * piece; first < end(p); first += kLanes) {
      const Lane<int32_t> i = first + lane_index();
      const Mask inside = i < end(p);
      const Lane<float> value = load_where(inside, x, i, 0.0f) * by * load_where(inside, gain, i, 0.0f);
      store_where(inside, out, i, value);
    }
  }

  OSTINATO_DEVICE float inverse_root(float total, float eps) const {
    return 1.0f / sqrt(total / static_cast<float>(length) + eps);
  }
};

// All warps of the block share a group. `sums` is shared memory.
OSTINATO_DEVICE inline void norm_by_block(const NormGroup& group, float eps, float* sums, Work& w) {
  for (int32_t p = w.block_warp; p < group.pieces(); p += w.block_warps) {
    store_where(lane_index() == 0, sums, Lane<int32_t>(p), group.sum_of_squares(p));
  }
  w.sync();
  const float total = sum(load_where(lane_index() < group.pieces(), sums, lane_index(), 0.0f));
  const float by = group.inverse_root(total, eps);
  for (int32_t p = w.block_warp; p < group.pieces(); p += w.block_warps) group.scale(p, by);
  w.sync();  // the next group's sums come to the same place
}

OSTINATO_DEVICE inline void run(const call::RmsNorm& c, const Machine& m, Work& w) {
  const float* gain = reinterpret_cast<const float*>(m.weights[c.gain]);
  const int32_t length = c.width / c.groups, groups = m.rows(c.axis, c.factor) * c.groups;
  const int32_t piece = NormGroup::piece_length(length);
  const bool by_warp = length <= piece;
  for (int32_t i = by_warp ? w.warp : w.block; i < groups; i += by_warp ? w.warps : w.blocks) {
    const NormGroup group{m.floats(c.x) + i * length, gain, m.floats(c.out) + i * length, length, piece};
    if (by_warp) {
      group.scale(0, group.inverse_root(group.sum_of_squares(0), c.eps));
    } else {
      norm_by_block(group, c.eps, reinterpret_cast<float*>(w.shared), w);
    }
  }
}

}  // namespace ostinato::cuda
