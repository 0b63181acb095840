// _memory: the weight store for Python. Whatever may wait does so without the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>
#include <nanobind/trampoline.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "arrays.h"
#include "memory/checksum.h"
#include "memory/checksums.h"
#include "memory/request.h"
#include "memory/simulate.h"
#include "memory/system.h"
#include "memory/transitions.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ostinato::memory {
namespace {

template <class T>
using Array = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Rows = nb::ndarray<const int64_t, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;
using Table = nb::ndarray<const int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using PyFile = std::pair<std::shared_ptr<Source>, std::shared_ptr<Source>>;
using PyTrace = std::pair<Array<int64_t>, Array<int32_t>>;
using Unlocked = nb::call_guard<nb::gil_scoped_release>;

template <class T>
std::vector<T> vector_of(const Array<T>& array) {
  return {array.data(), array.data() + array.size()};
}

// A source written in Python, for tests: size(), block() and read(offset, to), where `to` is uint8, to be
// filled.
class PySource final : public Source {
 public:
  NB_TRAMPOLINE(Source, 3);
  int64_t size() const override { NB_OVERRIDE_PURE(size); }
  int64_t block() const override { NB_OVERRIDE_PURE(block); }
  void read(int64_t offset, uint8_t* to, int64_t bytes) override {
    const nb::gil_scoped_acquire locked;
    try {
      const nb::ndarray<nb::numpy, uint8_t, nb::ndim<1>> view(to, {static_cast<size_t>(bytes)});
      nb::find(static_cast<Source*>(this)).attr("read")(offset, nb::cast(view, nb::rv_policy::reference));
    } catch (const nb::python_error& error) {
      throw ReadError(nb::str(error.value()).c_str());
    }
  }
};

std::vector<int32_t> predict(Transitions& transitions, int32_t stack, const Array<int32_t>& ids,
                             int32_t count) {
  std::vector<int32_t> found;
  transitions.predict(stack, {ids.data(), ids.size()}, count, found);
  return found;
}

// Its threads may be in a Python source while it goes.
struct PyStore final : Store {
  using Store::Store;
  ~PyStore() {
    const nb::gil_scoped_release unlocked;
    close();
  }
};

struct NamedMode {
  const char* name;
  Mode mode;
};
constexpr NamedMode kModes[] = {
    {"direct", Mode::kDirect}, {"cached", Mode::kCached}, {"mapped", Mode::kMapped}};

Mode mode_of(const std::string& name) {
  for (const auto& [own, mode] : kModes) {
    if (name == own) return mode;
  }
  throw std::invalid_argument("unknown mode '" + name + "'");
}

Trace trace_of(const PyTrace& arrays, int32_t parcels) {
  Trace trace{vector_of(arrays.first), vector_of(arrays.second)};
  const bool sorted = std::is_sorted(trace.first.begin(), trace.first.end());
  if (trace.first.empty() || trace.first[0] != 0 || !sorted ||
      trace.first.back() != static_cast<int64_t>(trace.parcels.size())) {
    throw std::invalid_argument("a trace's steps are not slices of its parcels");
  }
  for (const int32_t parcel : trace.parcels) {
    if (parcel < 0 || parcel >= parcels)
      throw std::invalid_argument("a trace names a parcel that is not there");
  }
  return trace;
}

std::vector<File> files_of(const std::vector<PyFile>& pairs) {
  std::vector<File> files;
  for (const auto& [primary, replica] : pairs) {
    if (primary == nullptr) throw std::invalid_argument("a file has a source");
    files.push_back({primary, replica});
  }
  return files;
}

void make_catalogue(Catalogue* self, const Rows& extents, const Array<int32_t>& first,
                    const Array<int32_t>& cache, const Array<int32_t>& layer,
                    const Array<uint32_t>& checksums, int32_t copies) {
  Catalogue catalogue{{}, vector_of(first), vector_of(cache), vector_of(layer), vector_of(checksums), copies};
  for (size_t i = 0; i < extents.shape(0); ++i) {
    catalogue.extents.push_back({static_cast<int32_t>(extents(i, 0)), extents(i, 1), extents(i, 2)});
  }
  new (self) Catalogue(std::move(catalogue));
}

void make_store(PyStore* self, const Catalogue& catalogue, const std::vector<PyFile>& files,
                const std::vector<std::pair<int64_t, int32_t>>& pools,
                const std::vector<std::pair<int32_t, int32_t>>& caches, int64_t budget,
                const std::string& policy, double half_life, const PyTrace& trace, bool locked,
                int32_t threads, int64_t chunk, int64_t prefetch_in_flight) {
  std::vector<PoolPlan> pool_plans;
  for (const auto& [slot_bytes, slots] : pools) pool_plans.push_back({slot_bytes, slots});
  std::vector<CachePlan> cache_plans;
  for (const auto& [pool, quota] : caches) cache_plans.push_back({pool, quota});
  auto chosen = make_policy(policy, catalogue.parcels(), half_life, trace_of(trace, catalogue.parcels()));
  std::vector<File> sources = files_of(files);
  const nb::gil_scoped_release unlocked;
  new (self) PyStore(catalogue, std::move(sources), pool_plans, cache_plans, std::move(chosen),
                     Options{budget, locked, {threads, chunk, prefetch_in_flight}});
}

nb::object counters(const Store& store) {
  std::vector<Counters> all;
  {
    const nb::gil_scoped_release unlocked;
    all = store.counters();
  }
  return numpy(all.empty() ? nullptr : all[0].data(), {all.size(), kCounters.size()});
}

nb::object states(const Store& store) {
  const std::vector<Store::State> all = store.states();
  return numpy(reinterpret_cast<const uint8_t*>(all.data()), {all.size()});
}

nb::object uses(const Store& store) {
  const std::vector<int64_t> all = store.uses();
  return numpy(all.data(), {all.size()});
}

using PyWanted = std::tuple<int32_t, int32_t, float>;

std::vector<bool> decide(const PyStore& store, const MissRule& rule, const std::vector<PyWanted>& experts) {
  std::vector<Wanted> wanted;
  for (const auto& [parcel, copy, share] : experts) wanted.push_back({parcel, copy, share});
  store.decide(rule, wanted);
  std::vector<bool> coarse;
  for (const Wanted& expert : wanted) coarse.push_back(expert.coarse);
  return coarse;
}

std::vector<std::tuple<int64_t, int64_t, int64_t, int64_t>> occupancy(const Store& store) {
  std::vector<std::tuple<int64_t, int64_t, int64_t, int64_t>> all;
  for (const auto& [slot_bytes, slots, used, payload] : store.occupancy()) {
    all.emplace_back(slot_bytes, slots, used, payload);
  }
  return all;
}

nb::tuple take_trace(Store& store) {
  int64_t left_out = 0;
  const Trace trace = store.take_trace(left_out);
  return nb::make_tuple(numpy(trace.first.data(), {trace.first.size()}),
                        numpy(trace.parcels.data(), {trace.parcels.size()}), left_out);
}

using OfParcels = void (Store::*)(std::span<const int32_t>);

template <OfParcels method>
void with_parcels(PyStore& store, const Array<int32_t>& parcels) {
  const nb::gil_scoped_release unlocked;
  (store.*method)({parcels.data(), parcels.size()});
}

void bind_store(nb::module_& m) {
  nb::class_<Catalogue>(m, "Catalogue",
                        "Parcels: extents int64 [e, 3] of (file, offset, bytes), and whose they are.")
      .def("__init__", &make_catalogue, "extents"_a, "first"_a, "cache"_a, "layer"_a, "checksums"_a,
           "copies"_a = 0)
      .def_prop_ro("parcels", &Catalogue::parcels);
  nb::class_<MissRule>(m, "MissRule",
                       "When a miss is computed from a copy in fewer bits; see native/memory/misses.h.")
      .def(nb::init<double, double, double, float>(), "latency"_a, "rate"_a, "least_saving"_a, "most_share"_a)
      .def_ro("latency", &MissRule::latency)
      .def_ro("rate", &MissRule::rate)
      .def_ro("least_saving", &MissRule::least_saving)
      .def_ro("most_share", &MissRule::most_share)
      .def("wait", &MissRule::wait, "ahead"_a, "bytes"_a);
  nb::class_<Store>(m, "NativeStore", "What other native modules take.");
  nb::class_<PyStore, Store>(m, "Store", "The weight store; see native/memory/store.h.")
      .def("__init__", &make_store, "catalogue"_a, "files"_a, "pools"_a, "caches"_a, "budget"_a, "policy"_a,
           "half_life"_a, "trace"_a, "locked"_a, "threads"_a, "chunk"_a, "prefetch_in_flight"_a)
      .def(
          "close", [](PyStore& store) { store.close(); }, Unlocked())
      .def("hint", &with_parcels<&Store::hint>, "parcels"_a)
      .def("keep", &with_parcels<&Store::keep>, "parcels"_a)
      .def(
          "resize",
          [](PyStore& store, int32_t pool, int32_t slots, const std::vector<int32_t>& quotas) {
            return store.resize(pool, slots, quotas);
          },
          "pool"_a, "slots"_a, "quotas"_a, Unlocked())
      .def(
          "set_budget", [](PyStore& store, int64_t bytes) { return store.set_budget(bytes); }, "bytes"_a,
          Unlocked())
      .def(
          "start_trace", [](PyStore& store, int64_t limit) { store.start_trace(limit); }, "limit"_a)
      .def("take_trace", [](PyStore& store) { return take_trace(store); })
      .def("counters", [](PyStore& store) { return counters(store); })
      .def("occupancy", [](PyStore& store) { return occupancy(store); })
      .def("states", [](PyStore& store) { return states(store); })
      .def("uses", [](PyStore& store) { return uses(store); })
      .def("decide", &decide, "rule"_a, "experts"_a,
           "Which of the experts (parcel, copy, share) are computed from their copies, as things stand.")
      .def(
          "check_integrity", [](PyStore& store) { store.check_integrity(); }, Unlocked())
      .def_prop_ro("bytes", [](PyStore& store) { return store.bytes(); })
      .def_prop_ro("budget", [](PyStore& store) { return store.budget(); });
}

using PyArrival = std::pair<int32_t, std::string>;

std::vector<PyArrival> pairs(const std::vector<Arrival>& arrivals) {
  std::vector<PyArrival> all;
  for (const Arrival& arrival : arrivals) all.emplace_back(arrival.parcel, arrival.error);
  return all;
}

// A Request and the store that it is of.
struct PyRequest {
  explicit PyRequest(PyStore& of) : store(of), request(of) {}
  PyStore& store;
  Request request;
};

nb::object view(const nb::object& self, int32_t parcel, int32_t extent) {
  const auto& [store, request] = nb::cast<PyRequest&>(self);
  if (!request.holds(parcel)) throw std::invalid_argument("only what is held has an address");
  const auto extents = store.catalogue().of(parcel).size();
  if (extent < 0 || extent >= static_cast<int32_t>(extents)) throw nb::index_error("no such extent");
  const auto bytes = store.data(parcel, extent);
  return nb::cast(nb::ndarray<nb::numpy, const uint8_t, nb::ndim<1>>(bytes.data(), {bytes.size()}, self));
}

void bind_request(nb::module_& m) {
  nb::class_<PyRequest>(m, "Request",
                        "What one thread wants at a time, and its pins; see native/memory/request.h.")
      .def(nb::init<PyStore&>(), "store"_a, nb::keep_alive<1, 2>())
      .def(
          "want",
          [](PyRequest& self, const Array<int32_t>& parcels, const std::optional<Array<double>>& rows,
             double age) {
            const nb::gil_scoped_release unlocked;
            const std::span counted =
                rows ? std::span(rows->data(), rows->size()) : std::span<const double>();
            self.request.want({parcels.data(), parcels.size()}, counted, age);
          },
          "parcels"_a, "rows"_a = nb::none(), "age"_a = 0.0)
      .def(
          "take", [](PyRequest& self) { return pairs(self.request.take()); }, Unlocked())
      .def(
          "poll", [](PyRequest& self) { return pairs(self.request.poll()); }, Unlocked())
      .def(
          "wait", [](PyRequest& self, int32_t parcel) { return self.request.wait(parcel).error; }, "parcel"_a,
          Unlocked())
      .def(
          "release", [](PyRequest& self, int32_t parcel) { self.request.release(parcel); }, "parcel"_a,
          Unlocked())
      .def(
          "clear", [](PyRequest& self) { self.request.clear(); }, Unlocked())
      .def(
          "data", &view, "parcel"_a, "extent"_a,
          "uint8 [bytes] of an extent of a parcel that is held. The view means nothing once it is released.");
}

template <class All, class NameOf>
nb::tuple names_of(const All& all, NameOf name_of) {
  nb::list names;
  for (const auto& own : all) names.append(name_of(own));
  return nb::tuple(names);
}

NB_MODULE(_memory, m) {
  nb::exception<ReadError>(m, "ReadError", PyExc_OSError);
  nb::exception<NoMemory>(m, "NoMemoryError", PyExc_RuntimeError);
  nb::class_<Source, PySource>(m, "Source", "Something that serves reads of whole blocks from any thread.")
      .def(nb::init<>());
  nb::class_<FileSource, Source>(m, "FileSource",
                                 "A regular file, read as `mode` says: direct, cached, mapped.")
      .def(
          "__init__",
          [](FileSource* self, std::string path, const std::string& mode) {
            new (self) FileSource(std::move(path), mode_of(mode));
          },
          "path"_a, "mode"_a)
      .def_prop_ro("size", &FileSource::size)
      .def_prop_ro("block", &FileSource::block)
      .def_prop_ro("identity", [](const FileSource& source) {
        const Identity& id = source.identity();
        return nb::make_tuple(id.device, id.inode, id.size, id.modified);
      });
  bind_store(m);
  bind_request(m);
  m.def(
      "block", [](const std::vector<PyFile>& files) { return block_of(files_of(files)); }, "files"_a,
      "What offsets and lengths of reads are multiples of: of all these files.");
  m.def(
      "give_back",
      [](const nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>& bytes) {
        forget(bytes.data(), static_cast<int64_t>(bytes.size()));
      },
      "bytes"_a, "The whole pages among them go back to the system; they read as zeros from now on.");
  m.def("crc32c", [](const Bytes& bytes) { return crc32c(0, bytes.data(), bytes.size()); }, "data"_a);
  m.def(
      "checksums",
      [](const Catalogue& catalogue, const std::vector<PyFile>& files) {
        std::vector<uint32_t> sums;
        const std::vector<File> sources = files_of(files);
        {
          const nb::gil_scoped_release unlocked;
          sums = checksums_of(catalogue, sources);
        }
        return numpy(sums.data(), {sums.size()});
      },
      "catalogue"_a, "files"_a);
  nb::class_<Transitions>(m, "Transitions", "Which experts follow which; see native/memory/transitions.h.")
      .def(nb::init<std::vector<int32_t>, double>(), "experts"_a, "half_life"_a)
      .def(
          "observe",
          [](Transitions& self, int32_t stack, const Table& ids) {
            self.observe(stack, {ids.data(), ids.size()}, static_cast<int32_t>(ids.shape(1)));
          },
          "stack"_a, "ids"_a)
      .def("restart", &Transitions::restart)
      .def("predict", predict, "stack"_a, "ids"_a, "count"_a);
  m.def(
      "simulate",
      [](const PyTrace& trace, const Array<int32_t>& cache, const Array<int32_t>& quotas,
         const Array<int32_t>& kept, const std::string& policy, double half_life) {
        const Trace steps = trace_of(trace, static_cast<int32_t>(cache.size()));
        const auto chosen = make_policy(policy, static_cast<int32_t>(cache.size()), half_life, steps);
        const std::vector<int32_t> hits =
            simulate(steps, vector_of(cache), vector_of(quotas), vector_of(kept), *chosen);
        return numpy(hits.data(), {hits.size()});
      },
      "trace"_a, "cache"_a, "quotas"_a, "kept"_a, "policy"_a, "half_life"_a);
  m.attr("READING") = static_cast<int>(Store::State::kReading);
  m.attr("COUNTERS") = names_of(kCounters, [](const NamedCounter& own) { return own.name; });
  m.attr("MODES") = names_of(kModes, [](const NamedMode& own) { return own.name; });
  m.attr("POLICIES") = names_of(policy_names(), [](const std::string& own) { return own.c_str(); });
}

}  // namespace
}  // namespace ostinato::memory
