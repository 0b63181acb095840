// Which experts follow which: statistics that guess what the next stack of experts will want. After the last
// stack comes the first, of the next token.
//
// For every expert there is how often it was wanted and how often, then, each expert of the next stack:
// counts that halve with every `half_life` uses. Four bytes for each pair of experts of stacks that follow
// each other; a row costs O(experts that it wants x experts of the next stack).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace ostinato::memory {

class Transitions {
 public:
  // `experts` of every stack. Throws std::invalid_argument for none, or for a half-life that is not positive.
  Transitions(std::vector<int32_t> experts, double half_life);

  // Rows wanted `ids` [rows, top_k] of a stack. They are learned to follow from what the same rows wanted of
  // the stack before: as many rows that were the last to be observed there. Throws std::invalid_argument for
  // a stack or ids that are not there.
  void observe(int32_t stack, std::span<const int32_t> ids, int32_t top_k);

  // What is observed next does not follow from what was observed before: its rows are others.
  void restart() { last_ = -1; }

  // Appends at most `count` experts of the stack after `stack`, the likeliest first, for a row that wants
  // `ids`; none that never followed.
  void predict(int32_t stack, std::span<const int32_t> ids, int32_t count, std::vector<int32_t>& out);

  int32_t stacks() const { return static_cast<int32_t>(experts_.size()); }

 private:
  int32_t after(int32_t stack) const { return (stack + 1) % stacks(); }
  float* row(int32_t stack, int32_t expert) {
    return counts_[stack].data() + int64_t{expert} * experts_[after(stack)];
  }
  void check(int32_t stack, std::span<const int32_t> ids) const;
  void learn(int32_t stack, std::span<const int32_t> from, std::span<const int32_t> to);

  std::vector<int32_t> experts_;
  float decay_;                             // of a count with each use
  std::vector<std::vector<float>> counts_;  // of every stack [experts, experts of the next]
  std::vector<std::vector<float>> uses_;    // of every stack [experts]
  std::vector<float> scores_;               // of the experts of a stack, while they are ranked

  // What was observed last.
  int32_t last_ = -1, width_ = 0;
  std::vector<int32_t> ids_;
};

}  // namespace ostinato::memory
