// The regular expressions of pre-tokenizers, compiled: the constructs that those use and no others.
//
//   x  \n \r \t \\ and other escapes  \u{3A3}  \p{L} \p{N} \p{P} \p{S} \p{M}  \s \S \d  [...]  [^...]
//   [...&&[^...]]
//   (?:...)  (?i:...) of ASCII  a|b  ? * + {n} {n,m}  (?!x) and (?<=x) of one character  $, the end of the
//   piece
//   (?=(?:x{n})*(?!x)), the run of x that begins here has a multiple of n characters; with + at least one
//
// What they mean is what Perl and ECMAScript say: the first alternative that leads to a match, greedy
// repetition.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/status.h"

namespace ostinato::tokenizer {

using AsciiSet = std::array<uint64_t, 2>;  // a bit for each character

// A set of characters.
class CharSet {
 public:
  struct Range {
    uint32_t first, last;
  };

  void add(uint32_t first, uint32_t last) { included_.push_back({first, last}); }
  void add_classes(int bits) { classes_ |= bits; }
  void add_both_cases(uint32_t letter);
  void exclude(const CharSet& other) { excluded_ = other.included_; }
  void negate() { negated_ = !negated_; }
  bool has_classes() const { return classes_ != 0 || negated_; }
  void finish();  // after the last of the above

  // `packed`: code << 8 | class bits (see Characters).
  bool has(uint32_t packed) const {
    const uint32_t code = packed >> 8;
    return code < 128 ? ascii_[code >> 6] >> (code & 63) & 1 : lies_in(packed);
  }
  const AsciiSet& ascii() const { return ascii_; }

 private:
  bool lies_in(uint32_t packed) const;

  int classes_ = 0;
  bool negated_ = false;
  std::vector<Range> included_, excluded_;
  AsciiSet ascii_{};
};

struct Instruction {
  enum Op : uint8_t {
    kRun,       // min to max characters of the set, as many as may be; a failure later takes one back
    kSplit,     // go on at `first`, and if that fails at `second`
    kJump,      // go on at `first`
    kNext,      // a character of the set is next; nothing is consumed by this and those below
    kNotNext,   // no character of the set is next
    kPrevious,  // a character of the set is before
    kMultiple,  // the run of the set has a multiple of `max` characters, at least `min`
    kEnd,       // the piece ends
    kMatch,
  };
  Op op;
  uint16_t set = 0;
  uint32_t min = 1, max = 1;
  int32_t first = 1, second = 0;  // relative to this instruction
  AsciiSet begins{};              // of kSplit: what the way over `first` can begin with
};

constexpr uint32_t kNoLimit = UINT32_MAX;

struct Pattern {
  std::vector<Instruction> code;  // ends with kMatch
  std::vector<CharSet> sets;

  Status compile(std::string_view text);

 private:
  AsciiSet beginnings(size_t index) const;
};

}  // namespace ostinato::tokenizer
