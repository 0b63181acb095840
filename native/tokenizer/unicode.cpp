#include "tokenizer/unicode.h"

#include <algorithm>
#include <iterator>
#include <span>

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

// Hangul syllables are made of a leading consonant, a vowel and perhaps a trailing consonant (The Unicode
// Standard, section 3.12).
constexpr uint32_t kSyllables = 0xAC00, kLeading = 0x1100, kVowels = 0x1161, kTrailing = 0x11A7;
constexpr uint32_t kVowelCount = 21, kTrailingCount = 28, kSyllableCount = 19 * kVowelCount * kTrailingCount;

void append_jamo(uint32_t syllable, std::vector<uint32_t>& out) {
  out.push_back(kLeading + syllable / (kVowelCount * kTrailingCount));
  out.push_back(kVowels + syllable / kTrailingCount % kVowelCount);
  if (syllable % kTrailingCount) out.push_back(kTrailing + syllable % kTrailingCount);
}

// The rows of a code point.
template <size_t size>
std::span<const Replaced> rows(const Replaced (&table)[size], uint32_t code) {
  const auto order = [](const Replaced& row, uint32_t wanted) { return row.code < wanted; };
  const Replaced* first = std::lower_bound(std::begin(table), std::end(table), code, order);
  const Replaced* last = first;
  while (last != std::end(table) && last->code == code) ++last;
  return {first, last};
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

uint8_t Classifier::operator()(uint32_t code) {
  if (code >= kNoCode) return 0;
  if (code < first_ || code > last_) {
    const auto* next = std::upper_bound(std::begin(kUnicodeRuns), std::end(kUnicodeRuns), code << 8 | 0xFF);
    first_ = next[-1] >> 8;
    last_ = next == std::end(kUnicodeRuns) ? 0x10FFFF : (*next >> 8) - 1;
    bits_ = next[-1] & 0xFF;
  }
  return bits_;
}

Characters::Characters(std::string_view text) {
  Classifier classify;
  packed_.reserve(text.size());
  starts_.reserve(text.size() + 1);
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text.data() + at, text.size() - at);
    const uint32_t code = step.kind == Utf8Step::kCharacter ? step.code : kNoCode;
    packed_.push_back(code << 8 | classify(code));
    starts_.push_back(static_cast<uint32_t>(at));
    at += step.size;
  }
  starts_.push_back(static_cast<uint32_t>(text.size()));
}

void append_utf8(uint32_t code, std::string& out) {
  const auto push = [&out](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  const auto continuation = [&](int shift) { push(0x80 | (code >> shift & 0x3F)); };
  if (code < 0x80) return push(code);
  if (code < 0x800) {
    push(0xC0 | code >> 6);
  } else if (code < 0x10000) {
    push(0xE0 | code >> 12);
    continuation(6);
  } else {
    push(0xF0 | code >> 18);
    continuation(12);
    continuation(6);
  }
  continuation(0);
}

void append_lowercase(uint32_t code, std::string& out) {
  const std::span<const Replaced> by = rows(kLowercase, code);
  if (by.empty()) append_utf8(code, out);
  for (const Replaced& row : by) append_utf8(row.by, out);
}

void append_unaccented(uint32_t code, std::vector<uint32_t>& out) {
  if (code - kSyllables < kSyllableCount) return append_jamo(code - kSyllables, out);
  const std::span<const Replaced> by = rows(kUnaccented, code);
  if (by.empty()) out.push_back(code);
  for (const Replaced& row : by) out.push_back(row.by);
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
