// What test_warp.py calls: one operation of the warp layer each, on arrays of 32; barriers between many
// warps.
#include "grid.h"
#include "host/launch.h"

using namespace ostinato::cuda;

namespace {

template <class T>
Lane<T> lanes(const void* from) {
  return load(static_cast<const T*>(from), lane_index());
}

template <class T>
void put(void* to, const Lane<T>& value) {
  store(static_cast<T*>(to), lane_index(), value);
}

}  // namespace

#define OP(NAME)                                                                       \
  extern "C" void NAME([[maybe_unused]] const void* a, [[maybe_unused]] const void* b, \
                       [[maybe_unused]] const void* c, void* out)

OP(op_sum) { put<float>(out, sum(lanes<float>(a))); }
OP(op_sum_int) { put<int32_t>(out, sum(lanes<int32_t>(a))); }
OP(op_largest) { put<float>(out, largest(lanes<float>(a))); }
OP(op_smallest) { put<int32_t>(out, smallest(lanes<int32_t>(a))); }
OP(op_shuffle_xor) { put(out, shuffle_xor(lanes<int32_t>(a), 5)); }
OP(op_value_at) { put<int32_t>(out, value_at(lanes<int32_t>(a), 17)); }
OP(op_dot4) { put(out, dot4(lanes<uint32_t>(a), lanes<uint32_t>(b), lanes<int32_t>(c))); }
OP(op_pick_bytes) { put(out, pick_bytes(lanes<uint32_t>(a), lanes<uint32_t>(b), lanes<uint32_t>(c))); }
OP(op_fma) { put(out, fma(lanes<float>(a), lanes<float>(b), lanes<float>(c))); }
OP(op_multiply_high) { put(out, multiply_high(lanes<uint32_t>(a), lanes<uint32_t>(b))); }
OP(op_half_to_float) { put(out, half_to_float(lanes<uint16_t>(a))); }
OP(op_float_to_half) { put(out, float_to_half(lanes<float>(a))); }
OP(op_select) { put(out, select(lanes<int32_t>(a) > 3 && !(lanes<int32_t>(b) == 0), lanes<float>(c), -1)); }
OP(op_shift) { put(out, (lanes<int32_t>(a) >> 3) + (lanes<int32_t>(b) & 7) * 2 - lanes<int32_t>(a) % 5); }
OP(op_bits) { put(out, bits<int32_t>(lanes<float>(a))); }
OP(op_convert) { put(out, convert<float>(lanes<uint32_t>(a))); }

// Lanes outside the mask touch nothing: `index` is far outside there.
OP(op_where) {
  const Lane<int32_t> index = lanes<int32_t>(a);
  const Mask mask = index < 32;
  store_where(mask, static_cast<float*>(out), index,
              load_where(mask, static_cast<const float*>(b), index, 9) * 2);
}

OP(op_words4) {
  const Words4 words = load_words4(b, lanes<int32_t>(a));
  put(out, words.x + words.y * 2 + words.z * 4 + words.w * 8);
}

OP(op_atomic_add) {
  atomic_add_where(lanes<int32_t>(a) >= 0, static_cast<int32_t*>(out), maximum(lanes<int32_t>(a), 0), 1);
  atomic_or(static_cast<int32_t*>(out), lanes<int32_t>(b), 1 << 20);
}

namespace {

// Every warp writes its number plus the round; after the barrier each sees everybody's. Counts what it
// missed.
template <class Sync>
void rounds(const Machine& m, Work& w, Sync sync) {
  int32_t* seen = m.state;
  for (int32_t round = 0; round < m.decode_calls; ++round) {
    seen[w.warp] = w.warp + round;
    sync();
    int32_t missed = 0;
    for (int32_t i = 0; i < w.warps; ++i) missed += seen[i] != i + round;
    if (missed != 0) atomic_add(m.result, 0, select(lane_index() == 0, missed, 0));
    sync();
  }
}

}  // namespace

// Returns how many values were not seen. `grid` must outlive all calls: its words go on from launch to
// launch.
extern "C" int32_t grid_rounds(int32_t* grid, int32_t blocks, int32_t warps, int32_t count) {
  std::vector<int32_t> seen(static_cast<size_t>(blocks) * warps);
  int32_t missed = 0;
  Machine machine{};
  machine.grid = reinterpret_cast<ostinato::Grid*>(grid);
  machine.state = seen.data();
  machine.result = &missed;
  machine.decode_calls = count;
  Launch(machine, blocks, warps, 0,
         [](const Machine& m, Work& w) { rounds(m, w, [&] { sync_grid(m, w); }); });
  return missed;
}

// The same within one block.
extern "C" int32_t block_rounds(int32_t warps, int32_t count) {
  std::vector<int32_t> seen(static_cast<size_t>(warps));
  int32_t missed = 0;
  Machine machine{};
  machine.state = seen.data();
  machine.result = &missed;
  machine.decode_calls = count;
  Launch(machine, 1, warps, 0, [](const Machine& m, Work& w) { rounds(m, w, [&] { w.sync(); }); });
  return missed;
}
