// Compiled once per instruction level, OSTINATO_LEVEL being the level's name and namespace. All helpers are
// forced inline or have no linkage, or one level's code could end up in another's symbols.
#include "quantize/encoders.h"

#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>

#include "quantize/half.h"

#define LANE_INLINE inline __attribute__((always_inline))

namespace ostinato::quantize::OSTINATO_LEVEL {
namespace {

// clang-format off: in order of use
#include "quantize/lanes.h"
#include "quantize/pack.h"
#include "quantize/affine.h"
#include "quantize/refine.h"
#include "quantize/scaled.h"
#include "quantize/formats/plain.h"
#include "quantize/formats/blocks32.h"
#include "quantize/formats/q2_k.h"
#include "quantize/formats/q3_k.h"
#include "quantize/formats/q4_k.h"
#include "quantize/formats/q6_k.h"
#include "quantize/formats/iq4.h"
#include "quantize/formats/mxfp4.h"
// clang-format on

constexpr float kAnyFinite = std::numeric_limits<float>::infinity();
constexpr float kHalfLimit = 65520;          // from here on float16 rounds to infinity
constexpr float kBfloatLimit = 0x1.ffp127f;  // from here on bfloat16 does
constexpr float kBlockLimit = 1e9;  // beyond what any float16 scale reaches; powers still fit float32

constexpr Encoder kEncoders[] = {
    {TensorType::kF32, kAnyFinite, encode_f32},
    {TensorType::kF16, kHalfLimit, encode_f16},
    {TensorType::kBF16, kBfloatLimit, encode_bf16},
    {TensorType::kQ8_0, kBlockLimit, encode_q8_0},
    {TensorType::kQ4_0, kBlockLimit, encode_symmetric<4>},
    {TensorType::kQ4_1, kBlockLimit, encode_with_minimum<4>},
    {TensorType::kQ5_0, kBlockLimit, encode_symmetric<5>},
    {TensorType::kQ5_1, kBlockLimit, encode_with_minimum<5>},
    {TensorType::kQ2_K, kBlockLimit, encode_q2_k},
    {TensorType::kQ3_K, kBlockLimit, encode_q3_k},
    {TensorType::kQ4_K, kBlockLimit, encode_q4_or_q5_k<RuleQ4_K>},
    {TensorType::kQ5_K, kBlockLimit, encode_q4_or_q5_k<RuleQ5_K>},
    {TensorType::kQ6_K, kBlockLimit, encode_q6_k},
    {TensorType::kIQ4_NL, kBlockLimit, encode_iq4_nl},
    {TensorType::kIQ4_XS, kBlockLimit, encode_iq4_xs},
    {TensorType::kMXFP4, kBlockLimit, encode_mxfp4},
};

#define OSTINATO_TEXT(x) #x
#define OSTINATO_NAME(x) OSTINATO_TEXT(x)

}  // namespace

extern const Level kLevel;
const Level kLevel = {OSTINATO_NAME(OSTINATO_LEVEL), kEncoders, static_cast<int>(std::size(kEncoders))};

}  // namespace ostinato::quantize::OSTINATO_LEVEL
