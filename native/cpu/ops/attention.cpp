// append and attend: keys and values into paged blocks, and attention over them.
//
// A task is a tile of rows (rows of one sequence at consecutive positions, which read the same keys) and up
// to kMostQueries of the query heads that share a KV head. Its splits of 512 positions are merged in order;
// when a step has few tasks the splits themselves are shared out and merged afterwards, by the same
// operations.
#include <algorithm>
#include <limits>

#include "cpu/machine.h"

namespace ostinato::cpu {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

// Where a layer's keys and values lie in a block, in elements.
struct Layout {
  int64_t element_bytes, layer, values;

  Layout(const Cache& cache, int32_t block_size, int32_t index)
      : element_bytes(cache.half ? 2 : 4),
        layer(int64_t{index} * block_size * cache.kv_heads * (cache.key_dim + cache.value_dim)),
        values(int64_t{block_size} * cache.kv_heads * cache.key_dim) {}
};

// out[i x stride] = x[i], as the cache's element type.
void put(const Machine& m, bool half, const float* x, int64_t n, uint8_t* out, int64_t stride) {
  constexpr int64_t kRun = 64;
  for (int64_t i = 0; i < n; i += kRun) {
    const int64_t run = std::min(kRun, n - i);
    if (half) {
      uint16_t converted[kRun];
      m.vectors.to_half(x + i, run, converted);
      for (int64_t j = 0; j < run; ++j) reinterpret_cast<uint16_t*>(out)[(i + j) * stride] = converted[j];
    } else {
      for (int64_t j = 0; j < run; ++j) reinterpret_cast<float*>(out)[(i + j) * stride] = x[i + j];
    }
  }
}

void append_row(const op::Append& i, const Machine& m, int64_t row) {
  const Cache& cache = m.model.caches[i.cache];
  const int64_t size = m.model.limits.block_size, position = m.rows.position[row], within = position % size;
  const Layout at(cache, m.model.limits.block_size, i.index);
  const int32_t block = m.state.table(i.cache, m.rows.slot[row])[position / size];
  uint8_t* keys = cache.base + block * cache.block_bytes + at.layer * at.element_bytes;
  uint8_t* values = keys + at.values * at.element_bytes;
  put(m, cache.half, m.row(i.k, row), m.width(i.k), keys + within * at.element_bytes, size);
  if (i.v < 0) return;
  for (int64_t head = 0; head < cache.kv_heads; ++head) {
    const int64_t to = (head * size + within) * cache.value_dim;
    put(m, cache.half, m.row(i.v, row) + head * cache.value_dim, cache.value_dim,
        values + to * at.element_bytes, 1);
  }
}

// One `attend` in progress.
class Attention {
 public:
  Attention(const op::Attend& i, Machine& m)
      : i_(i),
        m_(m),
        cache_(m.model.caches[i.cache]),
        shared_(i.heads / i.kv_heads),
        parts_((shared_ + kMostQueries - 1) / kMostQueries),
        most_(std::min(shared_, kMostQueries)) {}

  int64_t tasks() const { return m_.rows.tiles * per_tile(); }

  // Multiply-adds, about: queries x positions x dimensions.
  int64_t work() const {
    int64_t positions = 0;
    for (int32_t row = 0; row < m_.rows.count; ++row) positions += limit(row) - first(row);
    return positions * i_.heads * (i_.key_dim + i_.value_dim);
  }

  // The whole of a task, by one thread.
  void whole(int64_t task, int thread) {
    AttendScratch& scratch = m_.scratch.attend[thread];
    const Queries queries = prepare(task, scratch);
    const Splits range = splits(task);
    for (int64_t split = range.first; split < range.end; ++split) {
      const bool later = split > range.first;
      m_.vectors.attend(pages(task), queries, split, scratch.tile.data(), scratch.partial(later));
      if (later)
        m_.vectors.merge(scratch.partial(0), scratch.partial(1), queries.count, padded(i_.value_dim));
    }
    finish(task, scratch.partial(0));
  }

  // Splits of all tasks side by side; every tile has one row.
  void divided() {
    int64_t most = 0;
    for (int64_t task = 0; task < tasks(); ++task) most = std::max(most, splits(task).count());
    m_.pool.parallel(tasks() * most, [&](int64_t item, int thread) {
      const int64_t task = item / most, split = splits(task).first + item % most;
      if (split >= splits(task).end) return;
      AttendScratch& scratch = m_.scratch.attend[thread];
      const Queries queries = prepare(task, scratch);
      m_.vectors.attend(pages(task), queries, split, scratch.tile.data(), divided_partial(item));
    });
    for (int64_t task = 0; task < tasks(); ++task) {
      const Partial merged = divided_partial(task * most);
      for (int64_t later = 1; later < splits(task).count(); ++later) {
        m_.vectors.merge(merged, divided_partial(task * most + later), static_cast<int32_t>(per_row(task)),
                         padded(i_.value_dim));
      }
      finish(task, merged);
    }
  }

  bool worth_dividing() const {
    if (tasks() >= kFewTasks * m_.pool.threads()) return false;
    bool several = false;
    for (int64_t tile = 0; tile < m_.rows.tiles; ++tile) {
      if (m_.rows.tile[tile].count > 1) return false;
      several = several || splits(tile * per_tile()).count() > 1;
    }
    return several;
  }

 private:
  int64_t per_tile() const { return i_.kv_heads * parts_; }
  const RowTile& tile(int64_t task) const { return m_.rows.tile[task / per_tile()]; }
  int64_t head(int64_t task) const { return task / parts_ % i_.kv_heads; }  // of keys and values
  // The first query head of a task, and how many it has.
  int64_t query(int64_t task) const { return head(task) * shared_ + task % parts_ * kMostQueries; }
  int64_t per_row(int64_t task) const { return std::min(most_, shared_ - task % parts_ * kMostQueries); }

  // A row sees positions first .. limit, limit excluded; neither falls from one row of a tile to the next.
  int32_t first(int32_t row) const {
    const int32_t position = m_.rows.position[row];
    switch (static_cast<AttentionMask>(i_.mask)) {
      case AttentionMask::kWindow:
        return std::max(position - i_.window + 1, 0);
      case AttentionMask::kChunk:
        return position - position % i_.window;
      case AttentionMask::kBand:
        return std::max(position - i_.window / 2, 0);
      default:
        return 0;
    }
  }
  int32_t limit(int32_t row) const {
    const int32_t position = m_.rows.position[row];
    switch (static_cast<AttentionMask>(i_.mask)) {
      case AttentionMask::kAll:
        return m_.rows.last_position(row) + 1;
      case AttentionMask::kBand:
        return std::min(m_.rows.last_position(row) - position, i_.window / 2) + position + 1;
      default:
        return position + 1;
    }
  }

  // Splits that hold a position which a row of the tile sees.
  struct Splits {
    int64_t first, end;
    int64_t count() const { return end - first; }
  };
  Splits splits(int64_t task) const {
    const RowTile& t = tile(task);
    return {first(t.first) / kSplit, (limit(t.first + t.count - 1) - 1) / kSplit + 1};
  }

  Queries prepare(int64_t task, AttendScratch& scratch) const {
    const RowTile& t = tile(task);
    int32_t count = 0;
    for (int32_t row = t.first; row < t.first + t.count; ++row) {
      const float* q = m_.row(i_.q, row) + query(task) * i_.key_dim;
      for (int64_t j = 0; j < per_row(task); ++j, ++count) {
        scratch.query[count] = q + j * i_.key_dim;
        scratch.first[count] = first(row), scratch.limit[count] = limit(row);
      }
    }
    return {scratch.query.data(), scratch.first.data(), scratch.limit.data(), count, i_.scale, i_.softcap};
  }

  Pages pages(int64_t task) const {
    const int32_t size = m_.model.limits.block_size;
    const Layout at(cache_, size, i_.index);
    const int64_t key = head(task) * size * i_.key_dim, value = at.values + head(task) * size * i_.value_dim;
    return {cache_.base + at.layer * at.element_bytes,
            m_.state.table(i_.cache, m_.rows.slot[tile(task).first]),
            cache_.block_bytes,
            key * at.element_bytes,
            value * at.element_bytes,
            size,
            i_.key_dim,
            i_.value_dim,
            cache_.half,
            cache_.value_dim == 0};
  }

  Partial divided_partial(int64_t item) const {
    const SplitScratch& s = m_.scratch.splits;
    const int64_t at = item * most_;
    return {s.max.data() + at, s.sum.data() + at, s.value.data() + at * padded(i_.value_dim)};
  }

  void finish(int64_t task, const Partial& partial) const {
    const RowTile& t = tile(task);
    const float* sinks = m_.vector(i_.sinks);
    for (int32_t row = 0; row < t.count; ++row) {
      float* out = m_.row(i_.out, t.first + row) + query(task) * i_.value_dim;
      for (int64_t j = 0; j < per_row(task); ++j) {
        const float sink = sinks == nullptr ? kNone : sinks[query(task) + j];
        m_.vectors.finish(partial, static_cast<int32_t>(row * per_row(task) + j), sink, i_.value_dim,
                          out + j * i_.value_dim);
      }
    }
  }

  const op::Attend& i_;
  Machine& m_;
  const Cache& cache_;
  const int64_t shared_;  // query heads that share a KV head,
  const int64_t parts_;   // in so many tasks,
  const int64_t most_;    // of at most so many
};

}  // namespace

void run(const op::Append& i, Machine& m) {
  const int64_t width = m.width(i.k) + (i.v < 0 ? 0 : m.width(i.v));
  m.by_rows(m.count(i.k), 4 * width, [&](int64_t row) { append_row(i, m, row); });
}

void run(const op::Attend& i, Machine& m) {
  Attention attention(i, m);
  if (attention.worth_dividing()) {
    attention.divided();
  } else {
    m.share(attention.tasks(), attention.work(),
            [&](int64_t task, int thread) { attention.whole(task, thread); });
  }
}

}  // namespace ostinato::cpu
