// One activation row: weight rows are read one after the other, as they lie in memory.
//
// Sums across a register cost more than products. So a weight row leaves its integers, several to a sum, in
// the first-level cache, and those of eight rows are added up, meet their scales and become float terms
// together, a lane each.
#pragma once
#include "cpu/kernels/avx512/lanes.h"
#include "cpu/kernels/matmul.h"

namespace ostinato::cpu::avx512 {
namespace {

constexpr int kAbreast = 8;         // weight rows whose terms are added together
constexpr int64_t kMostSteps = 32;  // of 256 columns, whose integers stay near

// From what is being read to what is fetched. (At 4 KiB a core reads Q4_0 at 20 GB/s, here at 24.)
constexpr int64_t kStreamAhead = 16 << 10;

// Type says
//   Row                                      packed activations (blocks.h)
//   Columns                                  256 of them in the order that its products want, made of a Row
//   Sums                                     integers of one step of kAbreast weight rows
//   kStepBytes                               of 256 weights
//   sum(weights, columns, sums, r)           those of weight row r
//   add_terms(sums, columns, steps, acc)     acc[r] += the terms of `steps` steps, in order
template <class Type>
class Single {
 public:
  Single(const WeightRows& w, int64_t k, const typename Type::Row* a, float* out) : w_(w), k_(k), out_(out) {
    for (first_ = 0; first_ < steps(k); first_ += kMostSteps) {
      count_ = std::min(kMostSteps, steps(k) - first_);
      for (int64_t s = 0; s < count_; ++s) columns_[s] = typename Type::Columns(a[first_ + s]);
      const int64_t groups = (w.n + kAbreast - 1) / kAbreast;
      for (int64_t group = 0; group <= groups; ++group) add(group);
    }
  }

 private:
  // Reads a group of weight rows and adds the terms of the group before, a part after every row: so there is
  // work while memory is waited for, and memory is never left waiting for long.
  void add(int64_t group) {
    const int64_t row = group * kAbreast, before = row - kAbreast;
    alignas(32) float acc[kAbreast] = {};
    if (before >= 0 && first_ > 0) std::memcpy(acc, out_ + before, bytes_of(before));
    for (int r = 0; r < kAbreast; ++r) {
      if (row < w_.n) sum(std::min(row + r, w_.n - 1), sums_[group % 2], r);
      const int64_t from = r * count_ / kAbreast, to = (r + 1) * count_ / kAbreast;
      if (before >= 0) Type::add_terms(sums_[1 - group % 2] + from, columns_ + from, to - from, acc);
    }
    if (before >= 0) std::memcpy(out_ + before, acc, bytes_of(before));
  }

  // Outputs of the group from row i on.
  size_t bytes_of(int64_t i) const { return sizeof(float) * std::min<int64_t>(kAbreast, w_.n - i); }

  void sum(int64_t row, typename Type::Sums* sums, int r) {
    const uint8_t* weights = w_.data + row * w_.stride + first_ * Type::kStepBytes;
    const int64_t whole = std::min(count_, k_ / kSuper - first_);
    for (int64_t s = 0; s < whole; ++s, weights += Type::kStepBytes) {
      prefetch_piece(weights, kStreamAhead, Type::kStepBytes);
      Type::sum(weights, columns_[s], sums[s], r);
    }
    if (whole == count_) return;
    // Blocks beyond the end of the row have scales of 0 and meet activations whose scales are 0.
    uint8_t last[Type::kStepBytes] = {};
    std::memcpy(last, weights, k_ % kSuper * Type::kStepBytes / kSuper);
    Type::sum(last, columns_[whole], sums[whole], r);
  }

  const WeightRows& w_;
  const int64_t k_;
  float* const out_;
  int64_t first_, count_;
  typename Type::Columns columns_[kMostSteps];
  // Three more, since a load is held up by a store whose address agrees in the lower 12 bits: with 20 KiB
  // from one group's sums to the other's, Q4_0 takes 31 cycles for 256 weights, not 20.
  typename Type::Sums sums_[2][kMostSteps + 3];
};

}  // namespace
}  // namespace ostinato::cpu::avx512
