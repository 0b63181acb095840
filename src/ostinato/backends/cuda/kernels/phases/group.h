// group: assignments sorted by (kind, expert, assignment). A warp per (kind, expert), which counts those
// before it and then finds its own; so it needs no memory between warps. Each counts its own for who decides
// where experts lie; nothing that is computed depends on these counts.
#pragma once
#include "machine.h"
#include "scan.h"

namespace ostinato::cuda {
namespace group {

// Calls f(assignment, bucket, inside) for all assignments; a bucket is expert + experts x kind.
template <class F>
OSTINATO_DEVICE inline void for_each(const call::Group& c, const Machine& m, int32_t count, F f) {
  const int32_t prompt = m.prompt_rows(c.axis, c.factor) * c.top_k;
  for (int32_t first = 0; first < count; first += kLanes) {
    const Lane<int32_t> assignment = lane_index() + first;
    const Mask inside = assignment < count;
    const Lane<int32_t> expert = load_where(inside, m.ints(c.ids), assignment, 0);
    f(assignment, expert + select(assignment < prompt, 0, c.experts), inside);
  }
}

}  // namespace group

OSTINATO_DEVICE inline void run(const call::Group& c, const Machine& m, Work& w) {
  const int32_t count = m.rows(c.axis, c.factor) * c.top_k;
  for (int32_t mine = w.warp; mine < 2 * c.experts; mine += w.warps) {
    Lane<int32_t> earlier = 0, own = 0;
    group::for_each(c, m, count, [&](const Lane<int32_t>&, const Lane<int32_t>& bucket, const Mask& inside) {
      earlier += convert<int32_t>(inside && bucket < mine);
      own += convert<int32_t>(inside && bucket == mine);
    });
    int32_t at = sum(earlier);
    m.ints(c.offsets)[mine] = at;
    if (mine == 2 * c.experts - 1) m.ints(c.offsets)[mine + 1] = count;
    if (sum(own) == 0) continue;
    atomic_add_where(lane_index() == 0, m.uses, c.uses + mine % c.experts, sum(own));
    group::for_each(c, m, count,
                    [&](const Lane<int32_t>& assignment, const Lane<int32_t>& bucket, const Mask& inside) {
                      const Lane<int32_t> found = convert<int32_t>(inside && bucket == mine);
                      store_where(found != 0, m.ints(c.order), sum_before(found) + at, assignment);
                      at += sum(found);
                    });
  }
}

}  // namespace ostinato::cuda
