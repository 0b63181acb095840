// append and attend: keys and values into paged blocks, and attention over them.
//
// A task is a tile of rows (rows of one sequence at consecutive positions, which read the same keys) and up
// to kMostQueries of the query heads that share a KV head. Its splits (vectors.h) are merged in order; when a
// step has few tasks the splits themselves are shared out and merged afterwards, by the same operations.
#include <algorithm>
#include <limits>

#include "cpu/machine.h"

namespace ostinato::cpu {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

// A head's keys or values in a block, and the position to write to.
struct Target {
  uint8_t* head;
  int64_t size, within;  // positions of the block; the one
};

constexpr int64_t kRun = 64;  // elements converted at once: whole blocks of Q8_0

template <class T>
void put_key(const T* x, int64_t first, int64_t n, const Target& to) {
  T* out = reinterpret_cast<T*>(to.head) + first * to.size + to.within;
  for (int64_t i = 0; i < n; ++i) out[i * to.size] = x[i];
}
template <class T>
void put_value(const T* x, int64_t first, int64_t n, int64_t dim, const Target& to) {
  std::copy_n(x, n, reinterpret_cast<T*>(to.head) + to.within * dim + first);
}

// Scales [elements / 32, size] stand behind the codes, for keys and values alike.
void put_scales(const uint16_t* scales, int64_t first, int64_t n, int64_t dim, const Target& to) {
  auto* out = reinterpret_cast<uint16_t*>(to.head + dim * to.size) + to.within;
  for (int64_t i = 0; i < n; i += kQuantBlock)
    out[(first + i) / kQuantBlock * to.size] = scales[i / kQuantBlock];
}

// Codes [elements / 4, size, 4].
void put_key_codes(const int8_t* codes, int64_t first, int64_t n, const Target& to) {
  for (int64_t i = 0; i < n; i += 4)
    std::copy_n(codes + i, 4,
                reinterpret_cast<int8_t*>(to.head) + ((first + i) / 4 * to.size + to.within) * 4);
}

// One head of one row, as the cache keeps it.
void put(const Machine& m, KVType type, bool key, const float* x, int64_t dim, const Target& to) {
  for (int64_t first = 0; first < dim; first += kRun) {
    const int64_t n = std::min(kRun, dim - first);
    if (type == KVType::kF32) {
      key ? put_key(x + first, first, n, to) : put_value(x + first, first, n, dim, to);
    } else if (type == KVType::kF16) {
      uint16_t halves[kRun];
      m.vectors.to_half(x + first, n, halves);
      key ? put_key(halves, first, n, to) : put_value(halves, first, n, dim, to);
    } else {
      int8_t codes[kRun];
      uint16_t scales[kRun / kQuantBlock];
      m.vectors.to_q8(x + first, n, codes, scales);
      key ? put_key_codes(codes, first, n, to) : put_value(codes, first, n, dim, to);
      put_scales(scales, first, n, dim, to);
    }
  }
}

void append_row(const op::Append& i, const Machine& m, int64_t row) {
  const Cache& cache = m.model.caches[i.cache];
  const int64_t size = m.model.limits.block_size, position = m.rows.position[row], within = position % size;
  const int32_t block = m.state.table(i.cache, m.rows.slot[row])[position / size];
  for (int64_t head = 0; head < cache.kv_heads; ++head) {
    put(m, cache.type, true, m.row(i.k, row) + head * cache.key_dim, cache.key_dim,
        {cache.keys(i.index, head) + block * cache.key_bytes, size, within});
    if (i.v < 0) continue;
    put(m, cache.type, false, m.row(i.v, row) + head * cache.value_dim, cache.value_dim,
        {cache.values(i.index, head) + block * cache.value_bytes, size, within});
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
        most_(std::min(shared_, kMostQueries)) {
    const auto rows = static_cast<int32_t>(kTaskQueries / most_);
    for (int32_t span = 0; span < m.rows.spans; ++span) {
      const RowSpan& s = m.rows.span[span];
      for (int32_t first = 0; first < s.count; first += rows)
        m.scratch.tiles[tiles_++] = {s.first + first, std::min(rows, s.count - first)};
    }
  }

  int64_t tasks() const { return tiles_ * per_tile(); }

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
      m_.vectors.attend(pages(task), queries, split, scratch.work.data(), scratch.partial(later));
      if (later)
        m_.vectors.merge(scratch.partial(0), scratch.partial(1), queries.count, padded(i_.value_dim));
    }
    for (int64_t query = 0; query < queries.count; ++query) finish(task, query, scratch.partial(0));
  }

  // Splits of all tasks side by side; then every query's are merged.
  void divided() {
    const int64_t most = most_splits(), queries = most_queries();
    m_.pool.parallel(tasks() * most, [&](int64_t item, int thread) {
      const int64_t task = item / most, split = splits(task).first + item % most;
      if (split >= splits(task).end) return;
      AttendScratch& scratch = m_.scratch.attend[thread];
      m_.vectors.attend(pages(task), prepare(task, scratch), split, scratch.work.data(), partial(item, 0));
    });
    m_.share(tasks() * queries, tasks() * queries * most * i_.value_dim, [&](int64_t item, int) {
      const int64_t task = item / queries, query = item % queries;
      if (query >= count(task)) return;
      const Partial merged = partial(task * most, query);
      for (int64_t later = 1; later < splits(task).count(); ++later)
        m_.vectors.merge(merged, partial(task * most + later, query), 1, padded(i_.value_dim));
      finish(task, query,
             {merged.max - query, merged.sum - query, merged.value - query * padded(i_.value_dim)});
    });
  }

  bool worth_dividing() const {
    if (m_.pool.threads() == 1 || tasks() >= kFewTasks * m_.pool.threads()) return false;
    const int64_t most = most_splits();
    return most > 1 && tasks() * most * most_queries() <= static_cast<int64_t>(m_.scratch.splits.max.size());
  }

 private:
  int64_t per_tile() const { return i_.kv_heads * parts_; }
  // Later tiles see more positions: they come first, so that no thread begins a long one when the others are
  // done.
  const RowTile& tile(int64_t task) const { return m_.scratch.tiles[tiles_ - 1 - task / per_tile()]; }
  int64_t head(int64_t task) const { return task / parts_ % i_.kv_heads; }  // of keys and values
  // The first query head of a task, how many it has in a row, and in all its rows.
  int64_t query(int64_t task) const { return head(task) * shared_ + task % parts_ * kMostQueries; }
  int64_t per_row(int64_t task) const { return std::min(most_, shared_ - task % parts_ * kMostQueries); }
  int64_t count(int64_t task) const { return tile(task).count * per_row(task); }

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
    return {split_of(first(t.first)), split_of(limit(t.first + t.count - 1) - 1) + 1};
  }

  int64_t most_splits() const {
    int64_t most = 0;
    for (int64_t tile = 0; tile < tiles_; ++tile) most = std::max(most, splits(tile * per_tile()).count());
    return most;
  }
  int64_t most_queries() const {
    int32_t rows = 0;
    for (int64_t tile = 0; tile < tiles_; ++tile) rows = std::max(rows, m_.scratch.tiles[tile].count);
    return rows * most_;
  }

  Queries prepare(int64_t task, AttendScratch& scratch) const {
    const RowTile& t = tile(task);
    int32_t count = 0;
    for (int32_t row = t.first; row < t.first + t.count; ++row) {
      const float* q = m_.row(i_.q, row) + query(task) * i_.key_dim;
      for (int64_t j = 0; j < per_row(task); ++j, ++count, q += i_.key_dim) {
        float* out = &scratch.query[count / kQueryGroup * kQueryGroup * i_.key_dim + count % kQueryGroup];
        for (int32_t d = 0; d < i_.key_dim; ++d) out[d * kQueryGroup] = q[d];
        scratch.first[count] = first(row), scratch.limit[count] = limit(row);
      }
    }
    return {scratch.query.data(), scratch.first.data(), scratch.limit.data(), count, i_.scale, i_.softcap};
  }

  Pages pages(int64_t task) const {
    return {cache_.keys(i_.index, head(task)),
            cache_.values(i_.index, head(task)),
            m_.state.table(i_.cache, m_.rows.slot[tile(task).first]),
            cache_.key_bytes,
            cache_.value_bytes,
            m_.model.limits.block_size,
            i_.key_dim,
            i_.value_dim,
            cache_.type,
            cache_.value_dim == 0};
  }

  // Of an item of divided(): its queries from `query` on.
  Partial partial(int64_t item, int64_t query) const {
    const SplitScratch& s = m_.scratch.splits;
    const int64_t at = item * most_queries() + query;
    return {s.max.data() + at, s.sum.data() + at, s.value.data() + at * padded(i_.value_dim)};
  }

  // The output of a task's query, whose partial results are merged.
  void finish(int64_t task, int64_t index, const Partial& merged) const {
    const int64_t row = tile(task).first + index / per_row(task), head = query(task) + index % per_row(task);
    const float* sinks = m_.vector(i_.sinks);
    m_.vectors.finish(merged, static_cast<int32_t>(index), sinks == nullptr ? kNone : sinks[head],
                      i_.value_dim, m_.row(i_.out, row) + head * i_.value_dim);
  }

  const op::Attend& i_;
  Machine& m_;
  const Cache& cache_;
  const int64_t shared_;  // query heads that share a KV head,
  const int64_t parts_;   // in so many tasks,
  const int64_t most_;    // of at most so many
  int64_t tiles_ = 0;     // of rows, in scratch
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
