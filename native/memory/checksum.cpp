#include "memory/checksum.h"

#include <array>
#include <cstring>
#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

namespace ostinato::memory {
namespace {

// table[k][b]: the sum of byte b followed by k zero bytes.
constexpr auto kTable = [] {
  std::array<std::array<uint32_t, 256>, 8> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t sum = byte;
    for (int bit = 0; bit < 8; ++bit) sum = sum >> 1 ^ (sum & 1 ? 0x82f63b78u : 0);
    table[0][byte] = sum;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = table[k - 1][byte];
      table[k][byte] = before >> 8 ^ table[0][before & 0xff];
    }
  }
  return table;
}();

uint32_t next_byte(uint32_t sum, uint8_t byte) { return sum >> 8 ^ kTable[0][(sum ^ byte) & 0xff]; }

[[maybe_unused]] uint32_t next_word(uint32_t sum, uint64_t word) {
  word ^= sum;
  sum = 0;
  for (int k = 0; k < 8; ++k) sum ^= kTable[7 - k][word >> 8 * k & 0xff];
  return sum;
}

// Over whole words of 8 bytes, little-endian.
template <class Next>
[[gnu::always_inline]] inline uint32_t by_words(uint32_t sum, const uint8_t* data, int64_t words, Next next) {
  for (int64_t i = 0; i < words; ++i) {
    uint64_t word;
    std::memcpy(&word, data + 8 * i, 8);
    sum = next(sum, word);
  }
  return sum;
}

#if defined(__x86_64__)
[[gnu::target("sse4.2")]] uint32_t words_sse(uint32_t sum, const uint8_t* data, int64_t words) {
  for (int64_t i = 0; i < words; ++i) {
    uint64_t word;
    std::memcpy(&word, data + 8 * i, 8);
    sum = static_cast<uint32_t>(_mm_crc32_u64(sum, word));
  }
  return sum;
}
#endif

uint32_t whole_words(uint32_t sum, const uint8_t* data, int64_t words) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return words_sse(sum, data, words);
#elif defined(__ARM_FEATURE_CRC32)
  return by_words(sum, data, words, [](uint32_t s, uint64_t word) { return __crc32cd(s, word); });
#endif
  return by_words(sum, data, words, next_word);
}

}  // namespace

uint32_t crc32c(uint32_t sum, const uint8_t* data, int64_t bytes) {
  sum = whole_words(~sum, data, bytes / 8);
  for (int64_t i = bytes / 8 * 8; i < bytes; ++i) sum = next_byte(sum, data[i]);
  return ~sum;
}

}  // namespace ostinato::memory
