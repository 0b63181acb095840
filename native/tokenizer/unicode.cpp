#include "tokenizer/unicode.h"

#include <algorithm>
#include <iterator>

#include "tokenizer/unicode_tables.h"

namespace ostinato::tokenizer {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Well-formed second bytes (The Unicode Standard, table 3-7).
bool second_byte_fits(uint8_t first, uint8_t second) {
  switch (first) {
    case 0xE0:
      return second >= 0xA0 && second <= 0xBF;
    case 0xED:
      return second >= 0x80 && second <= 0x9F;
    case 0xF0:
      return second >= 0x90 && second <= 0xBF;
    case 0xF4:
      return second >= 0x80 && second <= 0x8F;
    default:
      return (second & 0xC0) == 0x80;
  }
}

constexpr bool between(uint32_t code, uint32_t first, uint32_t last) { return code >= first && code <= last; }

uint16_t ascii_sets(uint32_t code) {
  uint16_t bits = 0;
  if (code == '\r' || code == '\n') bits |= kNewline;
  if (code == ' ') bits |= kSpace;
  if (between(code, '0', '9')) bits |= kDigit;
  const bool latin = between(code | 0x20, 'a', 'z');
  if (latin) bits |= kLatin;
  if (between(code, '!', '~') && !latin && !(bits & kDigit)) bits |= kAsciiPunct;
  if (std::string_view("$+<=>^~|").find(static_cast<char>(code)) != std::string_view::npos)
    bits |= kAsciiMath;
  if (code == '`') bits |= kBacktick;
  return bits;
}

// The sets that a run of the table may cross, so they cannot be kept with it.
uint16_t fixed_sets(uint32_t code) {
  if (code < 0x80) return ascii_sets(code);
  uint16_t bits = 0;
  if (between(code, 0x3040, 0x30FF) || between(code, 0x4E00, 0x9FA5)) bits |= kCjk;
  if (between(code, 0x0800, 0x9FA5) || between(code, 0xAC00, 0xD7FF)) bits |= kWideCjk;
  return bits;
}

}  // namespace

Utf8Step utf8_step(const char* text, size_t size) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text);
  const uint8_t first = bytes[0];
  if (first < 0x80) return {Utf8Step::kCharacter, 1, first};
  if (first < 0xC2 || first > 0xF4) return {Utf8Step::kInvalid, 1, 0};
  const uint8_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  uint32_t code = first & (0x7F >> length);
  for (uint8_t i = 1; i < length; ++i) {
    if (i == size) return {Utf8Step::kIncomplete, i, 0};
    const bool fits = i == 1 ? second_byte_fits(first, bytes[1]) : (bytes[i] & 0xC0) == 0x80;
    if (!fits) return {Utf8Step::kInvalid, i, 0};
    code = code << 6 | (bytes[i] & 0x3F);
  }
  return {Utf8Step::kCharacter, length, code};
}

uint16_t Classifier::operator()(uint32_t code) {
  if (code < first_ || code > last_) {
    const auto* next = std::upper_bound(std::begin(kUnicodeRuns), std::end(kUnicodeRuns), code << 8 | 0xFF);
    first_ = next[-1] >> 8;
    last_ = next == std::end(kUnicodeRuns) ? 0x10FFFF : (*next >> 8) - 1;
    bits_ = next[-1] & 0xFF;
  }
  return bits_ | fixed_sets(code);
}

void Utf8Stream::push(std::string_view bytes, std::string& out) {
  pending_.append(bytes);
  size_t at = 0;
  while (at < pending_.size()) {
    const Utf8Step step = utf8_step(pending_.data() + at, pending_.size() - at);
    if (step.kind == Utf8Step::kIncomplete) break;
    out.append(step.kind == Utf8Step::kCharacter ? std::string_view(pending_).substr(at, step.size)
                                                 : kReplacement);
    at += step.size;
  }
  pending_.erase(0, at);
}

void Utf8Stream::flush(std::string& out) {
  if (!pending_.empty()) out.append(kReplacement);
  pending_.clear();
}

}  // namespace ostinato::tokenizer
