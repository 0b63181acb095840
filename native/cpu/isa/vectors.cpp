// Compiled once per instruction level: OSTINATO_LEVEL names the level's namespace, OSTINATO_ISA its Isa. All
// helpers are forced inline or have no linkage, or one level's code could end up in another's symbols.
#include "cpu/vectors.h"

#include <type_traits>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include <bit>

#define LANE_INLINE inline __attribute__((always_inline))

namespace ostinato::cpu::OSTINATO_LEVEL {
namespace {

// clang-format off: in order of use
#include "cpu/isa/lanes.h"
#include "cpu/isa/math.h"
#include "cpu/isa/activations.h"
#include "cpu/isa/rows.h"
#include "cpu/isa/recurrent.h"
#include "cpu/isa/cached.h"
#include "cpu/isa/tiles.h"
#include "cpu/isa/attend.h"
#include "cpu/isa/draw.h"
// clang-format on

}  // namespace

extern const Vectors kVectors;
const Vectors kVectors = {
    .isa = Isa::OSTINATO_ISA,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .add = add,
    .scale = scale,
    .activate = activate,
    .glu = glu,
    .max = max,
    .sum_exp = sum_exp,
    .exp = exp,
    .attend = attend,
    .merge = merge,
    .finish = finish,
    .conv = conv,
    .delta = delta,
    .scan = scan,
    .to_half = to_half,
    .to_q8 = to_q8,
    .draw = draw,
};

}  // namespace ostinato::cpu::OSTINATO_LEVEL
