// Quants as signed bytes, four a word, out of the ways in which formats pack them.
#pragma once
#include "blocks/tile.h"

namespace ostinato::cuda {

// u - kZero of four bytes u below 128. The borrow stays in its byte, as bit 7 is set; then it is put right.
template <uint32_t kZero>
OSTINATO_DEVICE inline Lane<uint32_t> centred(const Lane<uint32_t>& u) {
  constexpr uint32_t kSigns = 0x80808080;
  return ((u | kSigns) - kZero * 0x01010101u) ^ kSigns;
}
template <uint32_t kZero>
OSTINATO_DEVICE inline Words4 centred(const Words4& u) {
  return {centred<kZero>(u.x), centred<kZero>(u.y), centred<kZero>(u.z), centred<kZero>(u.w)};
}

// `upper` in the bits above the kBits of `lower`; of each byte, `mask` says which bits of `upper` >> shift
// count.
template <int32_t kBits>
OSTINATO_DEVICE inline Words4 with_upper(const Words4& lower, const Words4& upper, uint32_t mask,
                                         const Lane<uint32_t>& shift) {
  return {lower.x | (upper.x >> shift & mask) << kBits, lower.y | (upper.y >> shift & mask) << kBits,
          lower.z | (upper.z >> shift & mask) << kBits, lower.w | (upper.w >> shift & mask) << kBits};
}

// The four low bits, one a byte, in the place of bit 4.
OSTINATO_DEVICE inline Lane<uint32_t> fifth_bits(const Lane<uint32_t>& bits) {
  return ((bits & 15u) * 0x00204081u & 0x01010101u) << 4;
}

// Sixteen nibbles and their fifth bits, the low 16 of `bits`.
OSTINATO_DEVICE inline Words4 with_fifth_bits(const Words4& nibbles, const Lane<uint32_t>& bits) {
  return {nibbles.x | fifth_bits(bits), nibbles.y | fifth_bits(bits >> 4), nibbles.z | fifth_bits(bits >> 8),
          nibbles.w | fifth_bits(bits >> 12)};
}

// Two bits of every byte.
OSTINATO_DEVICE inline Words4 pairs(const Words4& words, const Lane<uint32_t>& shift) {
  constexpr uint32_t kPair = 0x03030303;
  return {words.x >> shift & kPair, words.y >> shift & kPair, words.z >> shift & kPair,
          words.w >> shift & kPair};
}

// Element i of blocks whose 32 elements are 16 bytes: the low nibbles, then the high ones.
OSTINATO_DEVICE inline Lane<int32_t> nibble_at(const uint8_t* quants, const Lane<int32_t>& i) {
  return convert<int32_t>(load(quants, i / 32 * 16 + i % 16)) >> (i % 32 / 16 * 4) & 15;
}

// What each of the 8 codes in a word's nibbles means: of the low nibbles, and of the high ones.
struct Meanings {
  Lane<uint32_t> low, high;

  OSTINATO_DEVICE Meanings(const Lane<uint32_t>& codes, CodeTable table) {
    // A nibble of `which` picks one of four bytes: place, and 4 more where the code is in the upper half.
    const Lane<uint32_t> index = codes & 0x77777777u, which = (codes >> 1 & 0x44444444u) | 0x32103210u;
    const Lane<uint32_t> first = four(index, which, table), last = four(index >> 16, which >> 16, table);
    low = pick_bytes(first, last, 0x6420u);
    high = pick_bytes(first, last, 0x7531u);
  }

  // Of the four lowest nibbles.
  OSTINATO_DEVICE static Lane<uint32_t> four(const Lane<uint32_t>& index, const Lane<uint32_t>& which,
                                             CodeTable table) {
    return pick_bytes(pick_bytes(table.x, table.y, index), pick_bytes(table.z, table.w, index), which);
  }
};

// What 32 codes in 16 bytes mean.
OSTINATO_DEVICE inline void look_up(const Words4& codes, CodeTable table, Words4& low, Words4& high) {
  const Meanings x(codes.x, table), y(codes.y, table), z(codes.z, table), w(codes.w, table);
  low = {x.low, y.low, z.low, w.low};
  high = {x.high, y.high, z.high, w.high};
}

// What one code means.
OSTINATO_DEVICE inline Lane<int32_t> meaning(const Lane<int32_t>& code, CodeTable table) {
  const Lane<uint32_t> bits = convert<uint32_t>(code);
  return convert<int32_t>(convert<int8_t>(Meanings::four(bits & 7u, bits >> 1 & 4u, table)));
}

}  // namespace ostinato::cuda
