#include "tokenizer/pattern.h"

#include <algorithm>
#include <optional>
#include <string>

#include "tokenizer/unicode.h"

namespace ostinato::tokenizer {
namespace {

using Code = std::vector<Instruction>;

// Reads a pattern by recursive descent; every part gives code that can stand anywhere, since jumps are
// relative.
class Compiler {
 public:
  Compiler(std::string_view text, std::vector<CharSet>& sets) : text_(text), sets_(sets) {}

  Status compile(Code& code) {
    code = alternatives();
    if (problem_.empty() && at_ < text_.size()) fail("a ')' too many");
    code.push_back({.op = Instruction::kMatch});
    return {problem_};
  }

 private:
  bool ended() const { return at_ == text_.size() || !problem_.empty(); }
  bool next_is(std::string_view part) const { return text_.substr(at_).starts_with(part); }
  bool accept(std::string_view part) {
    if (!next_is(part)) return false;
    at_ += part.size();
    return true;
  }
  void expect(std::string_view part) {
    if (!accept(part)) fail("expected '" + std::string(part) + "'");
  }
  void fail(const std::string& what) {
    if (problem_.empty())
      problem_ = "pattern " + std::string(text_) + ": " + what + " at byte " + std::to_string(at_);
  }

  static void append(Code& code, const Code& more) { code.insert(code.end(), more.begin(), more.end()); }

  Code alternatives() {
    Code first = sequence();
    if (!accept("|")) return first;
    const Code rest = alternatives();
    const auto size = static_cast<int32_t>(first.size());
    Code code{{.op = Instruction::kSplit, .second = size + 2}};
    append(code, first);
    code.push_back({.op = Instruction::kJump, .first = static_cast<int32_t>(rest.size()) + 1});
    append(code, rest);
    return code;
  }

  Code sequence() {
    Code code;
    while (!ended() && !next_is("|") && !next_is(")")) append(code, item());
    return code;
  }

  Code item() {
    if (accept("(?!")) return {look(Instruction::kNotNext)};
    if (accept("(?<=")) return {look(Instruction::kPrevious)};
    if (accept("(?=")) return {multiple()};
    if (accept("$")) return {{.op = Instruction::kEnd}};
    if (accept("(?:")) return repeated(group());
    if (accept("(?i:")) {
      any_case_ = true;
      Code inner = group();
      any_case_ = false;
      return repeated(inner);
    }
    Instruction run{.op = Instruction::kRun, .set = set_index()};
    read_count(run.min, run.max);
    return {run};
  }

  Code group() {
    Code code = alternatives();
    expect(")");
    return code;
  }

  Instruction look(Instruction::Op op) {
    const Instruction instruction{.op = op, .set = set_index()};
    expect(")");
    return instruction;
  }

  // (?:x{n})*(?!x)) after its "(?="; x stands there twice.
  Instruction multiple() {
    expect("(?:");
    const size_t begin = at_;
    Instruction instruction{.op = Instruction::kMultiple, .set = set_index()};
    const std::string_view set = text_.substr(begin, at_ - begin);
    uint32_t count = 1;
    read_count(count, instruction.max);
    expect(")");
    instruction.min = accept("+") ? count : 0;
    if (instruction.min == 0) expect("*");
    expect("(?!");
    expect(set);
    expect("))");
    return instruction;
  }

  // A group, possibly with ? * or +.
  Code repeated(const Code& body) {
    const auto size = static_cast<int32_t>(body.size());
    Code code;
    if (accept("?")) {
      code.push_back({.op = Instruction::kSplit, .second = size + 1});
      append(code, body);
    } else if (accept("*")) {
      code.push_back({.op = Instruction::kSplit, .second = size + 2});
      append(code, body);
      code.push_back({.op = Instruction::kJump, .first = -size - 1});
    } else if (accept("+")) {
      code = body;
      code.push_back({.op = Instruction::kSplit, .first = -size, .second = 1});
    } else {
      code = body;
    }
    return code;
  }

  void read_count(uint32_t& min, uint32_t& max) {
    if (accept("?")) {
      min = 0;
    } else if (accept("*")) {
      min = 0;
      max = kNoLimit;
    } else if (accept("+")) {
      max = kNoLimit;
    } else if (accept("{")) {
      min = max = number(10);
      if (accept(",")) max = number(10);
      expect("}");
    }
  }

  uint32_t number(uint32_t base) {
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    uint32_t value = 0;
    const size_t begin = at_;
    for (; at_ < text_.size(); ++at_) {
      const size_t digit = kDigits.substr(0, base).find(text_[at_]);
      if (digit == std::string_view::npos) break;
      value = value * base + static_cast<uint32_t>(digit);
    }
    if (at_ == begin || value >= kNoCode) fail("expected a number");
    return value;
  }

  uint16_t set_index() {
    CharSet set = accept("[") ? bracket() : single();
    set.finish();
    sets_.push_back(set);
    return static_cast<uint16_t>(sets_.size() - 1);
  }

  CharSet single() {
    CharSet set;
    if (add_class(set)) return set;
    const uint32_t code = character();
    any_case_ ? set.add_both_cases(code) : set.add(code, code);
    return set;
  }

  CharSet bracket() {
    CharSet set;
    if (accept("^")) set.negate();
    while (!ended() && !accept("]")) {
      if (accept("&&[^")) {
        const CharSet without = bracket();
        if (without.has_classes()) fail("only code points can be taken from a set");
        set.exclude(without);
      } else if (!add_class(set)) {
        const uint32_t first = character();
        set.add(first, accept("-") ? character() : first);
      }
    }
    if (text_[at_ - 1] != ']') fail("a '[' without its ']'");
    return set;
  }

  // \p{L} \s \S \d, if one of them is next.
  bool add_class(CharSet& set) {
    static constexpr struct {
      std::string_view name;
      int bits;
    } kClasses[] = {{"\\p{L}", kLetter}, {"\\p{N}", kNumber}, {"\\p{P}", kPunctuation},
                    {"\\p{S}", kSymbol}, {"\\p{M}", kMark},   {"\\s", kWhitespace}};
    for (const auto& [name, bits] : kClasses) {
      if (!accept(name)) continue;
      set.add_classes(bits);
      return true;
    }
    if (accept("\\d")) {
      set.add('0', '9');
      return true;
    }
    if (!accept("\\S")) return false;
    set.add_classes(kWhitespace);
    set.negate();
    return true;
  }

  uint32_t character() {
    if (at_ == text_.size()) fail("a character is missing");
    if (ended()) return 0;
    if (accept("\\u{")) {
      const uint32_t code = number(16);
      expect("}");
      return code;
    }
    if (accept("\\n")) return '\n';
    if (accept("\\r")) return '\r';
    if (accept("\\t")) return '\t';
    accept("\\");
    const auto byte = at_ < text_.size() ? static_cast<uint8_t>(text_[at_++]) : 0x80;
    if (byte >= 0x80 || byte == 0) fail("expected a character of ASCII");
    return byte;
  }

  std::string_view text_;
  std::vector<CharSet>& sets_;
  size_t at_ = 0;
  bool any_case_ = false;
  std::string problem_;
};

// Ranges in order, those that touch made one.
void join(std::vector<CharSet::Range>& ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  size_t kept = 0;
  for (const CharSet::Range& range : ranges) {
    if (kept > 0 && range.first <= ranges[kept - 1].last + 1) {
      ranges[kept - 1].last = std::max(ranges[kept - 1].last, range.last);
    } else {
      ranges[kept++] = range;
    }
  }
  ranges.resize(kept);
}

}  // namespace

void CharSet::add_both_cases(uint32_t letter) {
  add(letter, letter);
  const uint32_t lower = letter | 0x20;
  if (lower >= 'a' && lower <= 'z') add(letter ^ 0x20, letter ^ 0x20);
}

void CharSet::finish() {
  join(included_);
  join(excluded_);
  Classifier classify;
  for (uint32_t code = 0; code < 128; ++code) {
    ascii_[code >> 6] |= uint64_t{lies_in(code << 8 | classify(code))} << (code & 63);
  }
}

bool CharSet::lies_in(uint32_t packed) const {
  const uint32_t code = packed >> 8;
  const auto in = [code](const std::vector<Range>& ranges) {  // those before the first that ends behind it
    const auto ends_before = [](const Range& range, uint32_t wanted) { return range.last < wanted; };
    const auto found = std::lower_bound(ranges.begin(), ranges.end(), code, ends_before);
    return found != ranges.end() && found->first <= code;
  };
  const bool included = (static_cast<int>(packed & 0xFF) & classes_) != 0 || in(included_);
  return (included && !in(excluded_)) != negated_;
}

Status Pattern::compile(std::string_view text) {
  if (Status status = Compiler(text, sets).compile(code); !status.ok()) return status;
  for (size_t i = 0; i < code.size(); ++i) {
    if (code[i].op == Instruction::kSplit) code[i].begins = beginnings(i + code[i].first);
  }
  return {};
}

// The characters of ASCII that a match from this instruction on may begin with; all, where it may be empty.
// Loops end, since none of them comes round without a character.
AsciiSet Pattern::beginnings(size_t index) const {
  const Instruction& instruction = code[index];
  const auto united = [](AsciiSet a, const AsciiSet& b) { return AsciiSet{a[0] | b[0], a[1] | b[1]}; };
  switch (instruction.op) {
    case Instruction::kMatch:
    case Instruction::kEnd:
      return {UINT64_MAX, UINT64_MAX};
    case Instruction::kRun: {
      const AsciiSet& own = sets[instruction.set].ascii();
      return instruction.min > 0 ? own : united(own, beginnings(index + 1));
    }
    case Instruction::kSplit:
      return united(beginnings(index + instruction.first), beginnings(index + instruction.second));
    default:
      return beginnings(index + instruction.first);
  }
}

}  // namespace ostinato::tokenizer
