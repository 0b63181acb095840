// Matrix-vector and small matrix-matrix products on packed GGUF blocks, per instruction set.
//
// One table of functions per instruction level; kernels() picks the best the machine has (OSTINATO_CPU forces
// one). How a row's sum is shaped is fixed by its kind, (type, K) and, for prompt rows, the level alone, and
// written down in sums.md: never by the number of rows.
#pragma once
#include <cstddef>
#include <cstdint>

#include "ostinato/tables.h"

namespace ostinato::cpu {

enum class Isa { kPortable, kAvx2, kAvx512, kAmx, kNeon, kI8mm };

// All levels; of those that a machine has, the last is the best.
inline constexpr Isa kIsas[] = {Isa::kPortable, Isa::kAvx2, Isa::kAvx512, Isa::kAmx, Isa::kNeon, Isa::kI8mm};

// Forms of a packed activation row. Weight types with the same packing read the same packed rows.
enum class Packing { kNone, kFloats, kBlocks, kSuper, kBFloats };

// n rows of K packed elements, `stride` bytes apart, as they lie in the mapped file.
struct WeightRows {
  const uint8_t* data;
  int64_t n;
  int64_t stride;
};

// How rows of one kind are multiplied.
struct Arithmetic {
  // The form that `matmul` wants for weights of this type; kNone where the type is not supported.
  Packing (*packing)(TensorType type);

  // Bytes of one activation row of k elements in the form that `matmul` wants for weights of this type
  // (a multiple of 64), or 0 where the type is not supported.
  size_t (*packed_bytes)(TensorType type, int64_t k);

  // Packs one row of k floats for weights of `type` (quantises, or copies). `out` is 64-byte aligned.
  void (*pack)(TensorType type, const float* x, int64_t k, void* out);

  // out[r * out_stride + i] = dot(row i of w, packed row r), for all i < w.n and r < rows.
  // packed row r begins at packed + r * packed_bytes(type, k).
  void (*matmul)(TensorType type, WeightRows w, int64_t k, const void* packed, int64_t rows, float* out,
                 int64_t out_stride);

  // What a call should have where there is more: weight rows (128 at most); and packed rows (256 at most),
  // where weight rows alone do not go round among the threads.
  int64_t outputs = 64, rows = 32;
};

struct Kernels {
  Isa isa;
  const char* name;  // "portable", "avx2", "avx512", "amx", "neon" (dot products), "i8mm"

  // Both support the same types. Generated rows have the same sums at every level; a level may have another
  // arithmetic for prompt rows.
  Arithmetic prompt, generated;

  // Dequantises one row exactly as the gguf package does.
  void (*dequantize)(TensorType type, const uint8_t* row, int64_t k, float* out);
};

// The table in use (OSTINATO_CPU is read at every call); nullptr and a reason where OSTINATO_CPU names what
// the machine or the build lacks.
const Kernels* kernels(const char** why_not = nullptr);

// The table of one level, or nullptr where this machine cannot run it.
const Kernels* kernels_for(Isa isa);

}  // namespace ostinato::cpu
