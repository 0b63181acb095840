// Q4_K on AVX-512 VNNI.
#include "cpu/kernels/avx512/eights.h"
#include "cpu/kernels/avx512/panels.h"
#include "cpu/kernels/level.h"
#include "cpu/kernels/matmul.h"

namespace ostinato::cpu::avx512 {
namespace {

constexpr int64_t kBytes = sizeof(BlockQ4_K);

// Six-bit values from words a, b, c of the packed scales, as in decode_scales.
__m512i low_six(__m512i word) { return _mm512_and_si512(word, _mm512_set1_epi32(0x3f3f3f3f)); }

__m512i high_six(__m512i nibbles, __m512i upper_two) {
  const __m512i low = _mm512_and_si512(nibbles, _mm512_set1_epi32(0x0f0f0f0f));
  const __m512i high = _mm512_and_si512(_mm512_srli_epi32(upper_two, 2), _mm512_set1_epi32(0x30303030));
  return _mm512_or_si512(low, high);
}

// Heads of four blocks, one in a lane -> bytes sc[0..7] m[0..7] in the same lane.
__m512i scales(__m512i head) {
  // words [a, c, b, c >> 4] give the low bits; the upper two of words 1 and 3 come from a and b
  const __m512i acbc = _mm512_shuffle_epi32(head, static_cast<_MM_PERM_ENUM>(0b11'10'11'01));
  const __m512i masked = _mm512_and_si512(
      _mm512_srlv_epi32(acbc, _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0, 0, 4))),
      _mm512_broadcast_i32x4(_mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f)));
  const __m512i aabb = _mm512_shuffle_epi32(head, static_cast<_MM_PERM_ENUM>(0b10'10'01'01));
  const __m512i upper = _mm512_and_si512(
      _mm512_srli_epi32(aabb, 2), _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0x30303030, 0, 0x30303030)));
  return _mm512_or_si512(masked, upper);
}

// Heads of one block in each of four weight rows.
struct Heads {
  __m512i sc_m;  // lane r: bytes sc[0..7] m[0..7] of row r
  __m128 d, dmin;

  Heads(const uint8_t* const rows[4], int64_t offset) {
    const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(load128(rows[0] + offset)),
                                                load128(rows[1] + offset), 1);
    const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(load128(rows[2] + offset)),
                                                 load128(rows[3] + offset), 1);
    const __m512i head = join(low, high);
    sc_m = scales(head);

    const __m512i first = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m128i both = _mm512_castsi512_si128(_mm512_permutexvar_epi32(first, head));
    const __m128i split =
        _mm_shuffle_epi8(both, _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
    d = _mm_cvtph_ps(split);
    dmin = _mm_cvtph_ps(_mm_unpackhi_epi64(split, split));
  }
};

// Heads of one block in each of eight weight rows.
struct Heads8 {
  __m512i sc;             // bytes sc[0..7] of every row
  __m512i m_low, m_high;  // 16-bit m[0..3], m[4..7] of every row
  __m512 d, dmin;

  Heads8(const uint8_t* const rows[8], int64_t offset) {
    const __m512i even = quad(rows, 0, offset), odd = quad(rows, 1, offset);
    const Eights sc_m(scales(even), scales(odd));
    sc = sc_m.low;
    const __m512i widen = _mm512_broadcast_i32x4(
        _mm_setr_epi16(-0x8000, -0x7fff, -0x7ffe, -0x7ffd, -0x7ff8, -0x7ff7, -0x7ff6, -0x7ff5));
    m_low = _mm512_shuffle_epi8(sc_m.high, widen);
    m_high = _mm512_shuffle_epi8(sc_m.high, _mm512_add_epi16(widen, _mm512_set1_epi16(4)));
    const __m512i first = _mm512_unpacklo_epi32(even, odd), scale = _mm512_unpacklo_epi64(first, first);
    d = halves(scale);
    dmin = halves(_mm512_srli_epi32(scale, 16));
  }
};

struct Q4_K {
  using Row = SuperRow;
  static constexpr int kDots = 4, kLanes = 16, kPanels = 2;
  static constexpr int kTileWeights = 8, kTileRows = 8;
  static constexpr int64_t kTilesFrom = 2, kPanelsFrom = 9;

  using Product = SuperProduct<32, 15, 0, true>;
  using Panel = Product::Panel;

  static void dots(const uint8_t* const rows[4], int64_t k, const Row* a, Prefetch prefetch, float* out) {
    __m128 acc = _mm_setzero_ps();
    for (int64_t b = 0; b < k / kSuper; ++b) {
      const int64_t offset = b * kBytes;
      const Heads heads(rows, offset);
      const __m512i a0 = load(a[b].q), a1 = load(a[b].q + 64), a2 = load(a[b].q + 128),
                    a3 = load(a[b].q + 192);
      // The low nibbles of 64 bytes are sub-blocks 0 and 2, the high ones 1 and 3.
      const __m512i quants[4] = {_mm512_shuffle_i64x2(a0, a1, 0x44), _mm512_shuffle_i64x2(a0, a1, 0xee),
                                 _mm512_shuffle_i64x2(a2, a3, 0x44), _mm512_shuffle_i64x2(a2, a3, 0xee)};
      const __m512i s0 = scaled<0>(rows[0] + offset, heads.sc_m, quants);
      const __m512i s1 = scaled<1>(rows[1] + offset, heads.sc_m, quants);
      const __m512i s2 = scaled<2>(rows[2] + offset, heads.sc_m, quants);
      const __m512i s3 = scaled<3>(rows[3] + offset, heads.sc_m, quants);
      prefetch(4 * offset, 4 * kBytes);
      const __m128 least = _mm_mul_ps(heads.dmin, _mm_cvtepi32_ps(minima(heads.sc_m, a[b])));
      const __m128 term = _mm_fmsub_ps(heads.d, _mm_cvtepi32_ps(sum4(s0, s1, s2, s3)), least);
      acc = _mm_fmadd_ps(_mm_set1_ps(a[b].d), term, acc);
    }
    _mm_storeu_ps(out, acc);
  }

  // Eight weight rows with kRows activation rows.
  template <int kRows>
  static void tile(const uint8_t* const rows[8], int64_t k, const Row* a, Prefetch prefetch,
                   float (*out)[8]) {
    constexpr int kPairs = (kRows + 1) / 2;
    const int64_t blocks = k / kSuper;
    __m512 acc[kPairs] = {};
    for (int64_t b = 0; b < blocks; ++b) {
      const Heads8 heads(rows, b * kBytes);
      __m512i scaled[kRows] = {}, least[kRows] = {};
#pragma GCC unroll 1
      for (int c = 0; c < 4; ++c) {
        add_quarter<kRows>(rows, b * kBytes, c, heads.sc, a + b, blocks, scaled);
        prefetch((8 * b + 2 * c) * kBytes, 2 * kBytes);
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const int16_t* sums = a[r * blocks + b].sums32;
        least[r] = _mm512_dpwssd_epi32(_mm512_madd_epi16(heads.m_low, broadcast64(sums)), heads.m_high,
                                       broadcast64(sums + 4));
      }
#pragma GCC unroll 4
      for (int p = 0; p < kPairs; ++p) {
        const int x = 2 * p, y = std::min(x + 1, kRows - 1);
        const __m512 minima = _mm512_mul_ps(heads.dmin, _mm512_cvtepi32_ps(sum_adjacent(least[x], least[y])));
        const __m512 term =
            _mm512_fmsub_ps(heads.d, _mm512_cvtepi32_ps(sum_halves(scaled[x], scaled[y])), minima);
        acc[p] = _mm512_fmadd_ps(factors(a[x * blocks + b].d, a[y * blocks + b].d), term, acc[p]);
      }
    }
    for (int p = 0; p < kPairs; ++p) store_pair(acc[p], out[2 * p], out[2 * p + 1]);
  }

  static void unpack(const uint8_t* const rows[16], int64_t step, int, Panel& panel) {
    const int64_t offset = step * kBytes;
    const Words16 head = words16(rows, offset);
    store_pairs(low_six(head.word[1]), panel.sc);
    store_pairs(high_six(head.word[3], head.word[1]), panel.sc + 2);
    store_pairs(low_six(head.word[2]), panel.m);
    store_pairs(high_six(_mm512_srli_epi32(head.word[3], 4), head.word[2]), panel.m + 2);
    _mm512_store_ps(panel.d, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(head.word[0])));
    _mm512_store_ps(panel.dmin, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(head.word[0], 16))));
    const __m512i nibble = _mm512_set1_epi8(15);
    for (int half = 0; half < 2; ++half) {
      __m512i v[16];
      columns16(rows, offset + 16 + 64 * half, v);
      for (int i = 0; i < 16; ++i) {
        const int low = 32 * half + 16 * (i / 8) + i % 8;
        _mm512_store_si512(panel.q[low], _mm512_and_si512(v[i], nibble));
        _mm512_store_si512(panel.q[low + 8], _mm512_and_si512(_mm512_srli_epi16(v[i], 4), nibble));
      }
    }
  }

  template <int kRows>
  static void multiply(const Panel* panels, const Row* a, int64_t stride, int, float (*acc)[32]) {
    Product::multiply<kRows>(panels, a, stride, acc);
  }

 private:
  // Sub-blocks 2 c and 2 c + 1: sums [r, r + 1] of the first, then of the second.
  template <int kRows>
  [[gnu::always_inline]] static void add_quarter(const uint8_t* const rows[8], int64_t offset, int c,
                                                 __m512i sc, const Row* a, int64_t stride, __m512i* sums) {
    const Eights one(rows, offset + 16 + 32 * c), two(rows, offset + 32 + 32 * c);
    const __m512i quants[4] = {one.low, one.high, two.low, two.high}, nibble = _mm512_set1_epi8(15);
    __m512i low[4], high[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      low[i] = _mm512_and_si512(quants[i], nibble);
      high[i] = _mm512_and_si512(_mm512_srli_epi16(quants[i], 4), nibble);
    }
    // 16-bit sc[2 c] twice for either row of a lane, then sc[2 c + 1]
    const __m512i first = _mm512_broadcast_i32x4(
        _mm_setr_epi16(-0x8000, -0x8000, -0x7ff8, -0x7ff8, -0x7fff, -0x7fff, -0x7ff7, -0x7ff7));
    const __m512i scales =
        _mm512_shuffle_epi8(sc, _mm512_add_epi16(first, _mm512_set1_epi16(static_cast<int16_t>(2 * c))));
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const int8_t* q = a[r * stride].q + 64 * c;
      __m512i p = _mm512_setzero_si512(), s = _mm512_setzero_si512();
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        p = _mm512_dpbusd_epi32(p, low[i], broadcast64(q + 8 * i));
        s = _mm512_dpbusd_epi32(s, high[i], broadcast64(q + 32 + 8 * i));
      }
      // A product of sixteen stays below 2^15, so 16 bits hold it and the saturation never acts.
      sums[r] = _mm512_dpwssd_epi32(sums[r], _mm512_packs_epi32(p, s), scales);
    }
  }

  // Sixteen partial sums of sc q a over one block.
  template <int kRow>
  static __m512i scaled(const uint8_t* block, __m512i sc_m, const __m512i quants[4]) {
    const __m512i nibble = _mm512_set1_epi8(15);
    const __m512i scales = _mm512_shuffle_i32x4(sc_m, sc_m, kRow * 0x55);
    __m512i acc = _mm512_setzero_si512();
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m512i q = load(block + 16 + 64 * half);
      const __m512i low = _mm512_and_si512(q, nibble),
                    high = _mm512_and_si512(_mm512_srli_epi16(q, 4), nibble);
      const __m512i zero = _mm512_setzero_si512();
      // A product of four stays below 2^13, so its low half times the 16-bit scale is exact.
      acc = _mm512_dpwssd_epi32(acc, _mm512_dpbusd_epi32(zero, low, quants[2 * half]),
                                spread(scales, 4 * half));
      acc = _mm512_dpwssd_epi32(acc, _mm512_dpbusd_epi32(zero, high, quants[2 * half + 1]),
                                spread(scales, 4 * half + 1));
    }
    return acc;
  }

  // sc[j] in the first eight 32-bit lanes, sc[j + 2] in the others.
  static __m512i spread(__m512i scales, int j) {
    const __m256i low = _mm256_set1_epi32(static_cast<int>(0x80808000u) | j);
    const __m256i high = _mm256_set1_epi32(static_cast<int>(0x80808000u) | (j + 2));
    return _mm512_shuffle_epi8(scales, join(low, high));
  }

  // sum of m[j] x (sum of a over sub-block j) for four weight rows.
  static __m128i minima(__m512i sc_m, const Row& a) {
    const __m512i m = _mm512_unpackhi_epi8(sc_m, _mm512_setzero_si512());
    __m512i sum = _mm512_madd_epi16(m, _mm512_broadcast_i32x4(load128(a.sums32)));
    sum = _mm512_add_epi32(sum, _mm512_shuffle_epi32(sum, static_cast<_MM_PERM_ENUM>(0b01'00'11'10)));
    sum = _mm512_add_epi32(sum, _mm512_shuffle_epi32(sum, static_cast<_MM_PERM_ENUM>(0b10'11'00'01)));
    const __m512i first = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    return _mm512_castsi512_si128(_mm512_permutexvar_epi32(first, sum));
  }

  // Four bytes to a word -> pairs in 16 bits each.
  static void store_pairs(__m512i words, int16_t (*out)[16][2]) {
    _mm512_store_si512(out[0], signed_pair(words, false));
    _mm512_store_si512(out[1], signed_pair(words, true));
  }
};

}  // namespace

void matmul_q4_k(WeightRows w, int64_t k, const void* packed, int64_t rows, float* out, int64_t out_stride) {
  matmul<Q4_K>(w, k, packed, rows, out, out_stride);
}

}  // namespace ostinato::cpu::avx512
