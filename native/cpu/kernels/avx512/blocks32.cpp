// Q8_0 and Q4_0 on AVX-512 VNNI: blocks of 32 bytes with an offset, u = q + offset.
#include "cpu/kernels/avx512/single_q4_0.h"
#include "cpu/kernels/level.h"
#include "cpu/kernels/matmul.h"

namespace ostinato::cpu::avx512 {
namespace {

struct Q8_0 {
  using Block = BlockQ8_0;
  static constexpr int kShift = 7;  // offset 128

  // Block b of rows x and y as unsigned bytes, one in each half.
  static __m512i pair(const Block* x, const Block* y) {
    return _mm512_xor_si512(join(load256(x->q), load256(y->q)), _mm512_set1_epi8(-128));
  }

  // The block at `offset` of 16 rows: q[i] lane r is bytes 4 i .. 4 i + 3 of row r.
  static void columns(const uint8_t* const rows[16], int64_t offset, uint8_t (*q)[64]) {
    for (int half = 0; half < 2; ++half) {
      const Words16 words = words16(rows, offset + offsetof(Block, q) + 16 * half);
      for (int i = 0; i < 4; ++i)
        _mm512_store_si512(q[4 * half + i], _mm512_xor_si512(words.word[i], _mm512_set1_epi8(-128)));
    }
  }
};

struct Q4_0 {
  using Block = BlockQ4_0;
  static constexpr int kShift = 3;  // offset 8

  static __m512i pair(const Block* x, const Block* y) {
    const __m512i both =
        join(_mm256_broadcastsi128_si256(load128(x->q)), _mm256_broadcastsi128_si256(load128(y->q)));
    const __m512i shifts = _mm512_setr_epi64(0, 0, 4, 4, 0, 0, 4, 4);
    return _mm512_and_si512(_mm512_srlv_epi64(both, shifts), _mm512_set1_epi8(15));
  }

  static void columns(const uint8_t* const rows[16], int64_t offset, uint8_t (*q)[64]) {
    const Words16 words = words16(rows, offset + offsetof(Block, q));
    const __m512i nibble = _mm512_set1_epi8(15);
    for (int i = 0; i < 4; ++i) {
      _mm512_store_si512(q[i], _mm512_and_si512(words.word[i], nibble));
      _mm512_store_si512(q[4 + i], _mm512_and_si512(_mm512_srli_epi16(words.word[i], 4), nibble));
    }
  }
};

template <class Quant>
struct Blocks {
  using Row = BlockRow;
  using Block = typename Quant::Block;
  static constexpr int kDots = 8, kLanes = 16, kPanels = 2;
  static constexpr int64_t kPanelsFrom = 3;

  struct Panel {
    uint8_t q[64][64];  // [k / 4][weight row][k % 4]
    float d[8][16];     // [k / 32][weight row]
  };

  static void dots(const uint8_t* const rows[8], int64_t k, const Row* a, Prefetch prefetch, float* out) {
    __m256 acc = _mm256_setzero_ps();
    for (int64_t b = 0; b < k / 32; ++b) {
      const Block* block[8];
      for (int r = 0; r < 8; ++r) {
        block[r] = reinterpret_cast<const Block*>(rows[r]) + b;
      }
      prefetch(8 * b * sizeof(Block), 8 * sizeof(Block));
      const Row& group = a[b / 8];
      const int64_t j = b % 8;
      const __m256i exact = sum8(block, group.q + 32 * j, group.minus_sums[j]);
      const __m256 scale = _mm256_mul_ps(halves8(block), _mm256_set1_ps(group.d[j]));
      acc = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(exact), acc);
    }
    _mm256_storeu_ps(out, acc);
  }

  static void unpack(const uint8_t* const rows[16], int64_t step, int blocks, Panel& panel) {
    for (int j = 0; j < blocks; ++j) {
      const int64_t offset = (8 * step + j) * sizeof(Block);
      Quant::columns(rows, offset, panel.q + 8 * j);
      _mm512_store_ps(panel.d[j], halves16(rows, offset));
    }
  }

  template <int kRows>
  static void multiply(const Panel* panels, const Row* a, int64_t stride, int blocks, float (*acc)[32]) {
    for (int j = 0; j < blocks; ++j) {
      __m512i part[kRows][2];
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r)
        part[r][0] = part[r][1] = _mm512_slli_epi32(broadcast32(a[r * stride].minus_sums + j), Quant::kShift);
#pragma GCC unroll 1
      for (int g = 8 * j; g < 8 * j + 8; ++g) {
        const __m512i w0 = _mm512_load_si512(panels[0].q[g]), w1 = _mm512_load_si512(panels[1].q[g]);
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) {
          const __m512i x = broadcast32(a[r * stride].q + 4 * g);
          part[r][0] = _mm512_dpbusd_epi32(part[r][0], w0, x);
          part[r][1] = _mm512_dpbusd_epi32(part[r][1], w1, x);
        }
      }
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r)
        for (int p = 0; p < 2; ++p) {
          const __m512 scale =
              _mm512_mul_ps(_mm512_load_ps(panels[p].d[j]), _mm512_set1_ps(a[r * stride].d[j]));
          float* sum = acc[r] + kLanes * p;
          _mm512_store_ps(sum, _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(part[r][p]), _mm512_load_ps(sum)));
        }
    }
  }

 private:
  static __m256 halves8(const Block* const block[8]) {
    const auto bits = [&](int r) { return static_cast<int16_t>(read<uint16_t>(block[r]->d)); };
    return _mm256_cvtph_ps(
        _mm_setr_epi16(bits(0), bits(1), bits(2), bits(3), bits(4), bits(5), bits(6), bits(7)));
  }

  // The exact products of one block of eight weight rows with 32 activations.
  static __m256i sum8(const Block* const block[8], const int8_t* a, int32_t minus_sum) {
    const __m512i x = _mm512_broadcast_i64x4(load256(a));
    const auto products = [&](int r) {
      return _mm512_dpbusd_epi32(_mm512_setzero_si512(), Quant::pair(block[r], block[r + 4]), x);
    };
    // lanes 0 and 1 hold two parts of rows 0-3, lanes 2 and 3 of rows 4-7
    const __m512i lanes = sum_lanes(products(0), products(1), products(2), products(3));
    const __m512i even = _mm512_shuffle_i32x4(lanes, lanes, 0x88),
                  odd = _mm512_shuffle_i32x4(lanes, lanes, 0xdd);
    const __m256i sums = _mm256_add_epi32(_mm512_castsi512_si256(even), _mm512_castsi512_si256(odd));
    return _mm256_add_epi32(sums, _mm256_set1_epi32(minus_sum * (1 << Quant::kShift)));
  }
};

struct BlocksQ4_0 : Blocks<Q4_0> {
  static void single(const WeightRows& w, int64_t k, const Row* a, float* out) {
    Single<OneRowQ4_0>(w, k, a, out);
  }
};

}  // namespace

void matmul_q8_0(WeightRows w, int64_t k, const void* packed, int64_t rows, float* out, int64_t out_stride) {
  matmul<Blocks<Q8_0>>(w, k, packed, rows, out, out_stride);
}

void matmul_q4_0(WeightRows w, int64_t k, const void* packed, int64_t rows, float* out, int64_t out_stride) {
  matmul<BlocksQ4_0>(w, k, packed, rows, out, out_stride);
}

}  // namespace ostinato::cpu::avx512
