// The dot products of one block format, compiled for the host by themselves: OSTINATO_FORMAT is its name,
// OSTINATO_STEM that of its header.
#define OSTINATO_TEXT(x) #x
// clang-format off: it would put spaces into the path.
#define OSTINATO_FILE(stem) OSTINATO_TEXT(blocks/stem.h)
// clang-format on
#include OSTINATO_FILE(OSTINATO_STEM)

namespace ostinato::cuda {

using Format = OSTINATO_FORMAT;
template Lane<float> Format::dot<1>(WeightRows, const uint32_t*, Lane<int32_t>, int32_t);
template Lane<float> Format::dot<2>(WeightRows, const uint32_t*, Lane<int32_t>, int32_t);
template Lane<float> Format::dot<4>(WeightRows, const uint32_t*, Lane<int32_t>, int32_t);
template Lane<float> Format::dot<kTileRows>(WeightRows, const uint32_t*, Lane<int32_t>, int32_t);

}  // namespace ostinato::cuda
