// One warp: 32 lanes that go the same way. Kernels are written once against this; a device runs a lane per
// thread, the host all lanes of a warp in one thread (host/lanes.h).
//
// Lane<T> is a value per lane (on a device: T itself); a plain scalar is the same in all lanes. Mask =
// Lane<bool>. Control flow never depends on a Lane: masks and `select` do. Both sides of a `select` are
// computed. Memory that one lane stores and another loads needs sync_warp() between.
//
//   lane_index()                       0 .. 31
//   load, load_where, load_words4      a gather; index counts elements (of 16 bytes for load_words4, which
//                                      reads device memory only, nothing shared)
//   store, store_where                 a scatter; no two lanes to one place
//   select, any, all
//   sum, largest, smallest             uniform; a butterfly over lanes 16, 8, 4, 2, 1 apart: one order of
//   adding
//                                      (largest and smallest pass over NaN)
//   shuffle_xor, value_at
//   dot4                               c + the products of four signed bytes each
//   pick_bytes                         four of the eight bytes of two words, by the lower nibbles of a third
//   fma, exp, log, sqrt, abs, rint, sin, cos, tanh, power, maximum, minimum
//                                      power is rounded once: powf may be 4 units off, which is an angle of
//                                      0.03 at position 10^5
//   half_to_float, float_to_half       float16 as uint16_t, to nearest even
//   convert<T>, bits<T>                value and bit pattern as another type
//   multiply_high                      upper word of a product of two uint32
//   atomic_add, atomic_or (+ _where)   the values before; order between lanes is open
#pragma once

#ifdef __CUDACC__
#include "device_lanes.h"
#else
#include "host/lanes.h"
#endif

namespace ostinato::cuda {
constexpr float kInfinity = __builtin_bit_cast(float, 0x7f800000u);  // NVRTC has no name for it
}  // namespace ostinato::cuda
