#include "tokenizer/matcher.h"

#include <algorithm>

namespace ostinato::tokenizer {

Matcher::Matcher(const Pattern& pattern, const Characters& text)
    : pattern_(pattern), text_(text), runs_(pattern.code.size()) {}

void Matcher::cut(uint32_t begin, uint32_t end, std::vector<uint32_t>& ends) {
  begin_ = begin;
  end_ = end;
  uint32_t done = begin;  // all before it is in `ends`
  for (uint32_t at = begin; at < end;) {
    const uint32_t after = match(at);
    if (after == kNone) {
      ++at;
      continue;
    }
    if (at > done) ends.push_back(at);
    if (after > at) ends.push_back(after);
    done = after;
    at = std::max(after, at + 1);
  }
  if (done < end) ends.push_back(end);
}

uint32_t Matcher::match(uint32_t at) {
  choices_.clear();
  uint32_t index = 0;
  while (true) {
    const Instruction& instruction = pattern_.code[index];
    if (instruction.op == Instruction::kMatch) return at;
    if (!step(instruction, index, at) && !go_back(index, at)) return kNone;
  }
}

// Does one instruction and goes on to the next; false: it fails here.
bool Matcher::step(const Instruction& instruction, uint32_t& index, uint32_t& at) {
  bool holds = true;
  switch (instruction.op) {
    case Instruction::kRun:
      holds = take_run(instruction, index, at);
      break;
    case Instruction::kSplit:
      if (!may_begin(instruction.begins, at)) {
        index += instruction.second;
        return true;
      }
      choices_.push_back({index + instruction.second, at, kNone});
      break;
    case Instruction::kNext:
      holds = is_next(instruction, at);
      break;
    case Instruction::kNotNext:
      holds = !is_next(instruction, at);
      break;
    case Instruction::kPrevious:
      holds = at > begin_ && pattern_.sets[instruction.set].has(text_.packed(at - 1));
      break;
    case Instruction::kMultiple:
      holds = is_multiple(instruction, index, at);
      break;
    case Instruction::kEnd:
      holds = at == end_;
      break;
    case Instruction::kJump:
    case Instruction::kMatch:
      break;
  }
  index += instruction.first;
  return holds;
}

// The run of the set that holds the character at `at`, which must be of the set.
Matcher::Run& Matcher::run_at(uint32_t index, const CharSet& set, uint32_t at) {
  Run& run = runs_[index];
  if (run.piece_end == end_ && run.begin <= at && at < run.end) return run;
  run = {at, at + 1, kNone, end_};
  while (run.end < end_ && set.has(text_.packed(run.end))) ++run.end;
  return run;
}

bool Matcher::take_run(const Instruction& instruction, uint32_t index, uint32_t& at) {
  if (!is_next(instruction, at)) return instruction.min == 0;
  if (instruction.max == 1) {  // most of all; a head that is optional may be given back
    if (instruction.min == 0) choices_.push_back({index + 1, at, kNone});
    ++at;
    return true;
  }
  const Run& run = run_at(index, pattern_.sets[instruction.set], at);
  const bool limited = instruction.max != kNoLimit;
  if (run.end - at < instruction.min) return false;
  const uint32_t low = at + instruction.min;
  uint32_t high = limited ? at + std::min(run.end - at, instruction.max) : run.end;
  if (!limited && run.failed != kNone) {
    if (run.failed <= low) return false;
    high = std::min(high, run.failed - 1);
  }
  if (high > low || !limited) choices_.push_back({index, high, low});
  at = high;
  return true;
}

// Takes the last choice back.
bool Matcher::go_back(uint32_t& index, uint32_t& at) {
  while (!choices_.empty()) {
    Choice& choice = choices_.back();
    if (choice.low == kNone) {
      index = choice.instruction;
      at = choice.at;
      choices_.pop_back();
      return true;
    }
    Run& run = runs_[choice.instruction];
    const bool same =
        run.begin <= choice.at && choice.at <= run.end;  // a loop may have come to a later run since
    if (same && pattern_.code[choice.instruction].max == kNoLimit) run.failed = choice.at;
    if (choice.at > choice.low) {
      at = --choice.at;
      index = choice.instruction + 1;
      return true;
    }
    choices_.pop_back();
  }
  return false;
}

bool Matcher::is_multiple(const Instruction& instruction, uint32_t index, uint32_t at) {
  if (!is_next(instruction, at)) return instruction.min == 0;
  const uint32_t size = run_at(index, pattern_.sets[instruction.set], at).end - at;
  return size >= instruction.min && size % instruction.max == 0;
}

}  // namespace ostinato::tokenizer
