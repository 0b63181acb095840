// One phase, compiled for the host by itself: OSTINATO_NAME is its name, OSTINATO_CALL the type of its call.
#include "host/phase.h"

#define OSTINATO_TEXT(x) #x
// clang-format off: it would put spaces into the path.
#define OSTINATO_FILE(name) OSTINATO_TEXT(phases/name.h)
// clang-format on
#define OSTINATO_JOINED(a, b) a##b
#define OSTINATO_FUNCTION_OF(name) OSTINATO_JOINED(phase_, name)
#include OSTINATO_FILE(OSTINATO_NAME)

namespace ostinato::cuda {

void OSTINATO_FUNCTION_OF(OSTINATO_NAME)(const Machine& m, int32_t index, Work& w) {
  run(m.call<call::OSTINATO_CALL>(index), m, w);
}

}  // namespace ostinato::cuda
