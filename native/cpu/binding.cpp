// _cpu: the Python side of the executor. Builds a Model from arrays that stay where they are, and passes
// packets and results; waits without the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "arrays.h"
#include "cpu/executor.h"
#include "cpu/roofline.h"

namespace nb = nanobind;

namespace ostinato::cpu {
namespace {

template <class T>
using Array1 = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using Array2 = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

const Kernels& chosen_kernels() {
  const char* why = nullptr;
  const Kernels* found = kernels(&why);
  if (found == nullptr) throw std::invalid_argument(why);
  return *found;
}

// An executor and the arrays that its pointers lead into.
class PyExecutor {
 public:
  PyExecutor(Model&& model, const Kernels& kernels, int threads, memory::Store* store,
             std::vector<nb::object>&& alive)
      : executor_(
            std::make_unique<Executor>(std::move(model), kernels, *vectors_for(kernels.isa), threads, store)),
        alive_(std::move(alive)) {}
  ~PyExecutor() { close(); }

  void submit(Array1<int32_t> words) {
    Executor& executor = open();
    if (executor.in_flight() == kMaxInFlight)
      throw std::runtime_error(std::to_string(kMaxInFlight) + " steps are in flight; collect one first");
    const std::string error = executor.submit({words.data(), words.size()});
    if (!error.empty()) throw std::invalid_argument(error);
  }

  nb::tuple collect() {
    Executor& executor = open();
    if (executor.in_flight() == 0) throw std::runtime_error("no step is in flight");
    const Executor::Part part = [&] {
      nb::gil_scoped_release unlocked;
      return executor.collect();
    }();
    const nb::tuple out = arrays(part);
    if (!part.more) executor.release();
    return out;
  }

  void close() {
    nb::gil_scoped_release unlocked;
    executor_.reset();
  }

  void start_profile() { resting().start_profile(); }

  // Of the prefill and of the decode program: steps, rows, logit rows, nanoseconds of the steps and of every
  // instruction.
  nb::list profile() {
    nb::list out;
    for (const Profile& p : resting().profiles()) {
      out.append(nb::make_tuple(p.steps, p.rows, p.logit_rows, p.step_nanoseconds,
                                numpy(p.nanoseconds.data(), {p.nanoseconds.size()})));
    }
    return out;
  }

 private:
  Executor& open() {
    if (executor_ == nullptr) throw std::runtime_error("the executable is closed");
    return *executor_;
  }

  Executor& resting() {
    Executor& executor = open();
    if (executor.in_flight() != 0) throw std::runtime_error("a step is in flight; collect it first");
    return executor;
  }

  // Slots [draws]; what they drew [steps, draws, ...]; the first step's named outputs; slots without numbers
  // and why; whether the run goes on.
  nb::tuple arrays(const Executor::Part& part) const {
    const Result& r = part.result;
    const size_t draws = r.draws, steps = part.count, top = kMaxTopLogprobs;
    const size_t from = part.first * draws;
    nb::list outputs;
    for (size_t index = 0; part.first == 0 && index < r.outputs.size(); ++index) {
      const Result::Output& output = r.outputs[index];
      const size_t rows = output.rows, width = output.width;
      outputs.append(numpy(output.data.data(), {rows, width}));
    }
    return nb::make_tuple(numpy(r.slots.data(), {draws}), numpy(r.tokens.data() + from, {steps, draws}),
                          numpy(r.logprobs.data() + from, {steps, draws}),
                          numpy(r.top_ids.data() + from * top, {steps, draws, top}),
                          numpy(r.top_logprobs.data() + from * top, {steps, draws, top}), outputs,
                          faults(part), part.more);
  }

  static nb::dict faults(const Executor::Part& part) {
    nb::dict out;
    for (int32_t i = 0; i < part.result.faulted.load(std::memory_order_acquire); ++i) {
      const Result::Fault& fault = part.result.faults[i];
      if (fault.step < part.first || fault.step >= part.first + part.count) continue;
      out[nb::int_(fault.slot)] = nb::str(fault.reason.c_str());
    }
    return out;
  }

  std::unique_ptr<Executor> executor_;
  std::vector<nb::object> alive_;
};

KVType kv_type_of(int32_t tensor_type) {
  for (const KVType type : kKVTypes) {
    if (static_cast<int32_t>(type) == tensor_type) return type;
  }
  throw std::invalid_argument("no keys and values of tensor type " + std::to_string(tensor_type));
}

// Collects what a Model consists of. Programs come in the order prefill, decode (or one that is both).
class Builder {
 public:
  Builder(int32_t max_rows, int32_t max_logit_rows, int32_t max_sequences, int32_t context, int32_t blocks,
          int32_t block_size, int32_t vocab, int32_t tokens, int32_t max_steps)
      : kernels_(chosen_kernels()) {
    model_.limits = {max_rows,   max_logit_rows, max_sequences, context,  blocks,
                     block_size, vocab,          tokens,        max_steps};
  }

  void add_cache(int32_t layers, int32_t kv_heads, int32_t key_dim, int32_t value_dim, int32_t kv_type,
                 Bytes memory) {
    const KVType type = kv_type_of(kv_type);
    const Cache cache{layers,
                      kv_heads,
                      key_dim,
                      value_dim,
                      type,
                      memory.data(),
                      model_.limits.blocks,
                      head_bytes(type, key_dim) * model_.limits.block_size,
                      head_bytes(type, value_dim) * model_.limits.block_size};
    const int64_t need = layers * kv_heads * cache.blocks * (cache.key_bytes + cache.value_bytes);
    if (memory.size() != static_cast<size_t>(need)) {
      throw std::invalid_argument("a cache group needs " + std::to_string(need) + " bytes, the plan gives " +
                                  std::to_string(memory.size()));
    }
    model_.caches.push_back(cache);
    alive_.push_back(nb::cast(memory));
  }

  void add_state(int64_t layers, int64_t elements) { model_.states.push_back({layers, elements}); }

  void add_program(Array1<int32_t> instructions, Array2<int64_t> values, int64_t arena_bytes,
                   const std::vector<int32_t>& outputs) {
    Program program;
    program.instructions.assign(instructions.data(), instructions.data() + instructions.size());
    for (size_t i = 0; i < values.shape(0); ++i) {
      const int64_t* v = &values(i, 0);
      program.values.push_back({static_cast<DType>(v[0]), static_cast<Axis>(v[1]), v[2], v[3], v[4]});
    }
    program.arena_bytes = arena_bytes;
    program.outputs = outputs;
    programs_.push_back(std::move(program));
  }

  using PyPiece = std::tuple<Array1<uint8_t>, int64_t, int64_t, int64_t>;  // data, offset, count, stride

  // The next weight of the last program: [k], [rows, k] or [experts, rows / experts, k]. `elements`: they are
  // wanted as floats too, `turned` column by column. With a `parcel` it is streamed (Weight says how).
  void add_weight(int32_t type, int64_t rows, int64_t k, int64_t experts, bool elements, bool turned,
                  const std::vector<PyPiece>& pieces, int32_t parcel, int32_t extent, bool by_expert) {
    Weight weight{static_cast<TensorType>(type), rows, k, experts, {}, {}, parcel, extent, by_expert};
    const int64_t row_bytes = bytes_of_row(weight);
    int64_t first = 0;
    for (const auto& [data, offset, count, stride] : pieces) {
      if (offset < 0 || count < 1 || stride < row_bytes ||
          offset + (count - 1) * stride + row_bytes > static_cast<int64_t>(data.size())) {
        throw std::invalid_argument("a piece of it lies outside its data");
      }
      weight.pieces.push_back({data.data() + offset, first, count, stride});
      alive_.push_back(nb::cast(data));
      first += count;
    }
    if (first != rows) throw std::invalid_argument("its pieces do not hold all its rows");
    if (elements) weight.vector = floats_of(weight, turned);
    if (weight.streamed()) take_away(weight);
    programs_.back().weights.push_back(std::move(weight));
  }

  // The same experts as the last weight in another type, in parcels `parcel` and on: what a miss may be
  // computed from, as `misses` of build() says. Rows are `stride` bytes apart.
  void add_copy(int32_t type, int64_t stride, int32_t parcel) {
    Program& program = programs_.back();
    Weight& weight = program.weights.back();
    Weight copy{static_cast<TensorType>(type),
                weight.rows,
                weight.k,
                weight.experts,
                {},
                {},
                parcel,
                weight.extent,
                true};
    if (stride < bytes_of_row(copy)) throw std::invalid_argument("a copy's rows overlap");
    copy.pieces = by_expert(copy, stride);
    weight.copy = static_cast<int32_t>(program.copies.size());
    program.copies.push_back(std::move(copy));
  }

  // Of values and scratch, all that the executor takes beside weights and paged state.
  int64_t working_bytes(int threads) {
    put_programs();
    int64_t states = 0;
    for (const StateGroup& group : model_.states) states += group.layers * group.elements * sizeof(float);
    return std::max(model_.prefill.arena_bytes, model_.decode.arena_bytes) +
           model_.limits.max_sequences * states + Scratch(model_, kernels_, count(threads)).bytes();
  }

  std::unique_ptr<PyExecutor> build(int threads, nb::handle store, nb::handle misses) {
    put_programs();
    if (!misses.is_none()) model_.misses = nb::cast<memory::MissRule>(misses);
    memory::Store* const native = store.is_none() ? nullptr : nb::cast<memory::Store*>(store);
    check_parcels(native);
    if (native != nullptr) alive_.push_back(nb::borrow(store));
    return std::make_unique<PyExecutor>(std::move(model_), kernels_, count(threads), native,
                                        std::move(alive_));
  }

 private:
  static int count(int threads) { return threads > 0 ? threads : Pool::usable_cores(); }

  void put_programs() {
    model_.prefill = programs_.front();
    model_.decode = programs_.back();
  }

  // Throws where the kernels do not multiply by such a weight.
  int64_t bytes_of_row(const Weight& weight) const {
    const BlockShape block = block_shape(weight.type);
    if (kernels_.generated.packed_bytes(weight.type, weight.k) == 0)
      throw std::invalid_argument("its type is not supported");
    if (weight.k % block.elements != 0) throw std::invalid_argument("its rows do not hold whole blocks");
    return weight.k / block.elements * block.bytes;
  }

  // A streamed weight has its pieces from the store.
  static void take_away(Weight& weight) {
    if (weight.by_expert) weight.pieces = by_expert(weight, weight.pieces.front().stride);
    for (Piece& piece : weight.pieces) piece.data = nullptr;
  }

  // A piece without an address for every expert.
  static std::vector<Piece> by_expert(const Weight& weight, int64_t stride) {
    const int64_t n = weight.rows / weight.experts;
    std::vector<Piece> pieces;
    for (int64_t first = 0; first < weight.rows; first += n) pieces.push_back({nullptr, first, n, stride});
    return pieces;
  }

  // Every streamed weight has parcels whose extents hold its pieces.
  void check_parcels(const memory::Store* store) const {
    for (const Program* program : {&model_.prefill, &model_.decode}) {
      for (const Weight& weight : program->weights) check_pieces(store, weight);
      for (const Weight& copy : program->copies) check_pieces(store, copy);
    }
  }

  static void check_pieces(const memory::Store* store, const Weight& weight) {
    if (!weight.streamed()) return;
    if (store == nullptr) throw std::invalid_argument("a weight is streamed, and there is no store");
    for (int32_t i = 0; i < static_cast<int32_t>(weight.pieces.size()); ++i) {
      check_extent(*store, weight, weight.pieces[i], weight.parcel + (weight.by_expert ? i : 0),
                   weight.extent + (weight.by_expert ? 0 : i));
    }
  }

  static void check_extent(const memory::Store& store, const Weight& weight, const Piece& piece,
                           int32_t parcel, int32_t extent) {
    const memory::Catalogue& catalogue = store.catalogue();
    if (parcel >= catalogue.parcels() || extent < 0 ||
        extent >= static_cast<int32_t>(catalogue.of(parcel).size())) {
      throw std::invalid_argument("a streamed weight names a parcel or an extent that is not there");
    }
    const BlockShape block = block_shape(weight.type);
    const int64_t bytes = (piece.count - 1) * piece.stride + weight.k / block.elements * block.bytes;
    if (catalogue.of(parcel)[extent].bytes < bytes) {
      throw std::invalid_argument("a parcel holds less than the weight that it is of");
    }
  }

  std::vector<float> floats_of(const Weight& weight, bool turned) const {
    std::vector<float> floats(weight.rows * weight.k), row(weight.k);
    const int64_t across = turned ? weight.rows : 1, down = turned ? 1 : weight.k;
    for (int64_t r = 0; r < weight.rows; ++r) {
      kernels_.dequantize(weight.type, weight_row(weight, r), weight.k, row.data());
      for (int64_t i = 0; i < weight.k; ++i) floats[r * down + i * across] = row[i];
    }
    return floats;
  }

  const Kernels& kernels_;
  Model model_;
  std::vector<Program> programs_;
  std::vector<nb::object> alive_;
};

std::vector<std::string> ops() {
  std::vector<std::string> names;
  for (int32_t opcode = 0; opcode < op::kOps; ++opcode) {
    if (has_op(opcode)) names.push_back(op::kNames[opcode]);
  }
  return names;
}

std::vector<std::string> levels() {
  std::vector<std::string> names;
  for (const Isa isa : kIsas) {
    if (const Kernels* found = kernels_for(isa)) names.push_back(found->name);
  }
  return names;
}

}  // namespace
}  // namespace ostinato::cpu

#ifndef OSTINATO_MODULE  // a second module is made for tests
#define OSTINATO_MODULE _cpu
#endif

NB_MODULE(OSTINATO_MODULE, m) {
  using namespace ostinato::cpu;
  m.doc() = "Executor of the CPU backend.";
  m.def(
      "level", [] { return std::string(chosen_kernels().name); },
      "Instruction level in use; ValueError for one that OSTINATO_CPU names in vain.");
  m.def("levels", &levels, "Instruction levels that this machine has, least first.");
  m.def("ops", &ops, "Ops that the executor runs.");
  m.def("usable_cores", &Pool::usable_cores, "Cores that this process may use.");
  m.def("read_bandwidth", &read_bandwidth, nb::arg("threads"), nb::arg("passes"),
        nb::call_guard<nb::gil_scoped_release>(),
        "Bytes a second that the threads read from memory together.");
  m.def(
      "peak_rates",
      [](int threads) {
        const Peaks peaks = peak_rates(chosen_kernels().isa, threads);
        return std::tuple(peaks.int8, peaks.f32);
      },
      nb::arg("threads"), nb::call_guard<nb::gil_scoped_release>(),
      "Operations a second at the level in use: 8-bit products and float32; 0 where not known.");
  nb::class_<PyExecutor>(m, "Executor")
      .def("submit", &PyExecutor::submit, nb::arg("words"),
           "Starts a step; ValueError where the packet is unsound.")
      .def("collect", &PyExecutor::collect,
           "slots, tokens, logprobs, top_ids, top_logprobs, named outputs of the oldest step; slots without "
           "numbers, and why; whether it goes on.")
      .def("start_profile", &PyExecutor::start_profile, "From now on times of instructions are added up.")
      .def("profile", &PyExecutor::profile,
           "Steps, rows, logit rows, nanoseconds of the steps and of each instruction: of prefill and of "
           "decode.")
      .def("close", &PyExecutor::close, "Finishes the steps in flight and ends the threads.");
  nb::class_<Builder>(m, "Builder")
      .def(nb::init<int32_t, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t>(),
           nb::arg("max_rows"), nb::arg("max_logit_rows"), nb::arg("max_sequences"), nb::arg("context"),
           nb::arg("blocks"), nb::arg("block_size"), nb::arg("vocab"), nb::arg("tokens"),
           nb::arg("max_steps"))
      .def("add_cache", &Builder::add_cache, nb::arg("layers"), nb::arg("kv_heads"), nb::arg("key_dim"),
           nb::arg("value_dim"), nb::arg("kv_type"), nb::arg("memory"))
      .def("add_state", &Builder::add_state, nb::arg("layers"), nb::arg("elements"))
      .def("add_program", &Builder::add_program, nb::arg("instructions"), nb::arg("values"),
           nb::arg("arena_bytes"), nb::arg("outputs"))
      .def("add_weight", &Builder::add_weight, nb::arg("type"), nb::arg("rows"), nb::arg("k"),
           nb::arg("experts"), nb::arg("elements"), nb::arg("turned"), nb::arg("pieces"),
           nb::arg("parcel") = -1, nb::arg("extent") = 0, nb::arg("by_expert") = false)
      .def("working_bytes", &Builder::working_bytes, nb::arg("threads"),
           "Bytes that the executor takes beside weights and paged state.")
      .def("add_copy", &Builder::add_copy, nb::arg("type"), nb::arg("stride"), nb::arg("parcel"))
      .def(
          "build", &Builder::build, nb::arg("threads"), nb::arg("store") = nb::none(),
          nb::arg("misses") = nb::none(),
          "`store` (_memory.NativeStore) has the weights that are streamed, `misses` (_memory.MissRule) says "
          "when a copy is used.");
}
