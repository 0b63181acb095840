// The one list of quantised formats that kernels are made for.
#pragma once
#include "cpu/kernels/formats/few_bits.h"
#include "cpu/kernels/formats/fp4.h"
#include "cpu/kernels/formats/iq1.h"
#include "cpu/kernels/formats/iq2.h"
#include "cpu/kernels/formats/iq3.h"
#include "cpu/kernels/formats/iq4_xs.h"
#include "cpu/kernels/formats/q2_k.h"
#include "cpu/kernels/formats/q3_k.h"
#include "cpu/kernels/formats/q4.h"
#include "cpu/kernels/formats/q4_k.h"
#include "cpu/kernels/formats/q5.h"
#include "cpu/kernels/formats/q6_k.h"
#include "cpu/kernels/formats/q8.h"

namespace ostinato::cpu {
namespace {

template <class... F>
struct Formats {
  static_assert(((sizeof(typename F::Block) == block_shape(F::kType).bytes) && ...));
};

template <class... A, class... B>
constexpr Formats<A..., B...> operator+(Formats<A...>, Formats<B...>) {
  return {};
}

using PlainSuper = Formats<Q2_K, Q3_K, Q5_K, Q8_K, IQ4_XS, TQ1_0, TQ2_0>;
using GridSuper = Formats<IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S>;
using PlainSmall = Formats<Q1_0, Q2_0, Q4_1, Q5_0, Q5_1, Q8_1, IQ4_NL, MXFP4, NVFP4>;

// All of them: vector levels have kernels of their own for those named here.
using SuperFormats = decltype(Formats<Q4_K, Q6_K>{} + PlainSuper{} + GridSuper{});
using SmallFormats = decltype(Formats<Q4_0, Q8_0>{} + PlainSmall{});

// Calls use.template operator()<F>() for the format of `type`; false if it is not in the list.
template <class Use, class... F>
bool with_format(TensorType type, Formats<F...>, Use use) {
  return ((type == F::kType && (use.template operator()<F>(), true)) || ...);
}

}  // namespace
}  // namespace ostinato::cpu
