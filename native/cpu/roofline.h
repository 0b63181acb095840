// What this machine does at most, measured by loops that do nothing else: bytes read from memory and
// operations of the vector units. The roofs that instructions are held against.
#pragma once
#include "cpu/kernels.h"

namespace ostinato::cpu {

// Bytes a second that `threads` threads read together from memory far larger than any cache: the best of
// several ways of reading, each tried `passes` times.
double read_bandwidth(int threads, int passes);

// Operations a second (a multiply-add is two) of `threads` threads together; 0 where nobody has written the
// loop for that level.
struct Peaks {
  double int8;  // products of 8-bit integers, added up in 32 bits
  double f32;   // float32 fused multiply-adds
};
Peaks peak_rates(Isa isa, int threads);

}  // namespace ostinato::cpu
