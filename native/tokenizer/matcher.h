// Runs a compiled pattern over a text: cuts pieces at its matches, in time linear in the text.
#pragma once
#include <cstdint>
#include <vector>

#include "tokenizer/pattern.h"
#include "tokenizer/unicode.h"

namespace ostinato::tokenizer {

// Backtracks as Perl does. What bounds the time: whether the rest of a pattern matches at a place depends on
// nothing but the place, so a run of one set remembers where the rest has failed, and is not tried there
// again; and the end of a run is looked for once.
class Matcher {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  Matcher(const Pattern& pattern, const Characters& text);

  // Cuts [begin, end) into the matches and the gaps between them: appends the end of each. A match of nothing
  // cuts where it is.
  void cut(uint32_t begin, uint32_t end, std::vector<uint32_t>& ends);

 private:
  // Where to go on after a failure: a run that may give back characters down to `low`, or another
  // alternative.
  struct Choice {
    uint32_t instruction, at, low;
  };
  // What an instruction knows of the last run of its set.
  struct Run {
    uint32_t begin = 0, end = 0;  // all characters of [begin, end) are of the set, that at `end` is not
    uint32_t failed = kNone;      // the rest failed at this place and at all later ones of the run
    uint32_t piece_end = kNone;   // of the piece that this holds for
  };

  uint32_t match(uint32_t at);  // the end of the match that begins there, or kNone
  bool step(const Instruction& instruction, uint32_t& index, uint32_t& at);
  bool take_run(const Instruction& instruction, uint32_t index, uint32_t& at);
  bool go_back(uint32_t& index, uint32_t& at);
  bool is_multiple(const Instruction& instruction, uint32_t index, uint32_t at);
  bool may_begin(const AsciiSet& begins, uint32_t at) const {
    const uint32_t code = at < end_ ? text_.code(at) : kNoCode;
    return code >= 128 || (begins[code >> 6] >> (code & 63) & 1);
  }
  bool is_next(const Instruction& instruction, uint32_t at) const {
    return at < end_ && pattern_.sets[instruction.set].has(text_.packed(at));
  }
  Run& run_at(uint32_t index, const CharSet& set, uint32_t at);

  const Pattern& pattern_;
  const Characters& text_;
  uint32_t begin_ = 0, end_ = 0;  // the piece
  std::vector<Run> runs_;         // of each instruction
  std::vector<Choice> choices_;
};

}  // namespace ostinato::tokenizer
