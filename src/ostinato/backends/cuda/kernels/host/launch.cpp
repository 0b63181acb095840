// Kernels on the host, as C functions for Python.
#include "host/launch.h"

#include "host/phase.h"
#include "persistent.h"

namespace ostinato::cuda {
namespace {

void run_call(const Machine& m, int32_t index, Work& w) {
  switch (m.phase(index)) {
#define OSTINATO_CASE(name, Call) \
  case call::Phase::k##Call:      \
    return phase_##name(m, index, w);
    OSTINATO_PHASES(OSTINATO_CASE)
#undef OSTINATO_CASE
  }
}

}  // namespace
}  // namespace ostinato::cuda

using namespace ostinato::cuda;

extern "C" {

// Runs one call to its end, as a kernel in a graph does.
void ostinato_launch(const Machine* machine, int32_t call, uint32_t flags, int32_t blocks, int32_t warps) {
  Launch(*machine, blocks, warps, flags, [call](const Machine& m, Work& w) { run_call(m, call, w); });
}

// Starts the persistent kernel; ostinato_wait ends with it and frees the handle.
void* ostinato_decode(const Machine* machine, int32_t blocks, int32_t warps) {
  return new Launch(*machine, blocks, warps, 0,
                    [](const Machine& m, Work& w) { decode_steps(m, w, run_call); });
}
void ostinato_wait(void* launch) { delete static_cast<Launch*>(launch); }

// The host's side of words that it shares with a running kernel.
int32_t ostinato_read(const int32_t* word) { return read_system(word); }
void ostinato_write(int32_t* word, int32_t value) { write_system(word, value); }

// Reads words as a host that takes an entry does, so that a sanitizer sees it; returns their sum.
uint32_t ostinato_look(const uint32_t* words, int32_t count) {
  uint32_t sum = 0;
  for (int32_t i = 0; i < count; ++i) sum += words[i];
  return sum;
}
}
