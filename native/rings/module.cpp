// _rings: the shared-memory structures for Python. Every class is a view: the caller owns the memory.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <string>

#include "rings/broadcast.h"
#include "rings/ring.h"
#include "rings/sequences.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ostinato::rings {
namespace {

using Memory = nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Records = nb::ndarray<int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Words = nb::ndarray<int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using ConstRecords = nb::ndarray<const int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

void* checked(const Memory& memory, size_t bytes) {
  if (memory.size() < bytes) {
    throw nb::value_error(
        ("memory has " + std::to_string(memory.size()) + " bytes; expected " + std::to_string(bytes))
            .c_str());
  }
  if (reinterpret_cast<uintptr_t>(memory.data()) % kLine != 0)
    throw nb::value_error("memory is not 64-byte aligned");
  return memory.data();
}

template <class Queue>
size_t queue_bytes(int64_t slots, int64_t words) {
  if (!Queue::valid(slots, words)) throw nb::value_error("slots must be a power of two, words 1 to 4096");
  return Queue::bytes(static_cast<size_t>(slots), static_cast<size_t>(words));
}

template <class Queue, class Array>
void check_width(const Queue& queue, const Array& records) {
  if (records.shape(1) != queue.words()) {
    throw nb::value_error(("records have " + std::to_string(records.shape(1)) + " words; the ring's have " +
                           std::to_string(queue.words()))
                              .c_str());
  }
}

int64_t intact(int64_t count) {
  if (count == Ring::kCorrupt)
    throw std::runtime_error("the ring's positions are corrupt: a process wrote over them");
  return count;
}

int64_t push(Ring& ring, const ConstRecords& records) {
  check_width(ring, records);
  int64_t pushed;
  {
    nb::gil_scoped_release released;
    pushed = ring.push(records.data(), records.shape(0));
  }
  return intact(pushed);
}

int64_t pop(Ring& ring, const Records& out) {
  check_width(ring, out);
  int64_t popped;
  {
    nb::gil_scoped_release released;
    popped = ring.pop(out.data(), out.shape(0));
  }
  return intact(popped);
}

void bind_rings(nb::module_& m) {
  nb::class_<Ring>(m, "Ring", "Queue of fixed int32 records between one producer and one consumer.")
      .def_static("bytes", &queue_bytes<Ring>, "slots"_a, "words"_a)
      .def(
          "__init__",
          [](Ring* self, const Memory& memory, int64_t slots, int64_t words) {
            new (self) Ring(checked(memory, queue_bytes<Ring>(slots, words)), slots, words);
          },
          "memory"_a, "slots"_a, "words"_a, nb::keep_alive<1, 2>())
      .def("__len__", [](const Ring& ring) { return intact(ring.size()); })
      .def_prop_ro("slots", &Ring::slots)
      .def("push_many", &push, "records"_a, "int32 [n, words]: appends the first that fit, returns how many.")
      .def("pop_many", &pop, "out"_a.noconvert(),
           "int32 [n, words]: takes the oldest into out, returns how many.");

  struct Reader {
    Broadcast broadcast;
    uint64_t position;
  };
  nb::class_<Broadcast>(m, "Broadcast", "The writer of a ring whose readers may be overrun.")
      .def_static("bytes", &queue_bytes<Broadcast>, "slots"_a, "words"_a)
      .def(
          "__init__",
          [](Broadcast* self, const Memory& memory, int64_t slots, int64_t words) {
            new (self) Broadcast(checked(memory, queue_bytes<Broadcast>(slots, words)), slots, words);
          },
          "memory"_a, "slots"_a, "words"_a, nb::keep_alive<1, 2>())
      .def(
          "write_many",
          [](Broadcast& self, const ConstRecords& records) {
            check_width(self, records);
            nb::gil_scoped_release released;
            self.write(records.data(), records.shape(0));
          },
          "records"_a, "int32 [n, words]: appends all, over the oldest.");
  nb::class_<Reader>(m, "BroadcastReader", "A reader of a Broadcast, from what is written next.")
      .def(
          "__init__",
          [](Reader* self, const Memory& memory, int64_t slots, int64_t words) {
            Broadcast broadcast(checked(memory, queue_bytes<Broadcast>(slots, words)), slots, words);
            new (self) Reader{broadcast, broadcast.head()};
          },
          "memory"_a, "slots"_a, "words"_a, nb::keep_alive<1, 2>())
      .def(
          "read_many",
          [](Reader& self, const Records& out) {
            check_width(self.broadcast, out);
            nb::gil_scoped_release released;
            const Broadcast::Read read = self.broadcast.read(self.position, out.data(), out.shape(0));
            return std::pair(read.count, read.lost);
          },
          "out"_a.noconvert(), "int32 [n, words] -> (records copied, records lost before them).");
}

SequenceLayout layout(int32_t capacity, int32_t context, int32_t caches, int32_t blocks_per_sequence) {
  const SequenceLayout out{capacity, context, caches, blocks_per_sequence};
  if (!out.valid())
    throw nb::value_error("a sequence table needs capacity, context > 0 and at most 8 cache groups");
  return out;
}

// A SequenceTable that checks record numbers.
class Table {
 public:
  Table(const Memory& memory, const SequenceLayout& layout)
      : table_(static_cast<int32_t*>(checked(memory, layout.words() * sizeof(int32_t))), layout) {}

  const SequenceTable& get() const { return table_; }

  SequenceTable& at(int record) {
    if (record < 0 || record >= table_.layout().capacity) {
      throw nb::index_error(
          ("record " + std::to_string(record) + " of " + std::to_string(table_.layout().capacity)).c_str());
    }
    return table_;
  }

  SequenceOwner& owner(int record) { return at(record).owner(record); }
  SequenceEngine& engine(int record) { return at(record).engine(record); }

  void commit(int record, int32_t length, int32_t computed, int32_t finish,
              const std::vector<int32_t>& blocks) {
    SequenceTable& table = at(record);
    const SequenceLayout& layout = table.layout();
    if (blocks.size() != static_cast<size_t>(layout.caches))
      throw nb::value_error("commit: one count of blocks per cache group");
    CommittedSlot slot{};
    slot.length = length;
    slot.computed = computed;
    slot.finish = finish;
    bool sound = 0 <= computed && computed <= length && length <= layout.context;
    for (size_t i = 0; i < blocks.size(); ++i) {
      (&slot.blocks0)[i] = blocks[i];
      sound = sound && 0 <= blocks[i] && blocks[i] <= layout.blocks_per_sequence &&
              (blocks[i] > 0 || computed == 0);
    }
    if (!sound) {
      throw nb::value_error(("record " + std::to_string(record) + ": commit of length " +
                             std::to_string(length) + ", computed " + std::to_string(computed) +
                             " contradicts itself, its blocks or the table's sizes")
                                .c_str());
    }
    table.commit(record, slot);
  }

  nb::tuple committed(int record) {
    const CommittedSlot slot = at(record).committed(record);
    nb::list blocks;
    for (int i = 0; i < table_.layout().caches; ++i) blocks.append((&slot.blocks0)[i]);
    return nb::make_tuple(slot.length, slot.computed, nb::tuple(blocks), slot.finish);
  }

  template <class Wanted>
  std::vector<int> records(Wanted wanted) const {
    std::vector<int> out;
    for (int record = 0; record < table_.layout().capacity; ++record) {
      if (wanted(record)) out.push_back(record);
    }
    return out;
  }

  // Records whose sequence has not ended, in order of arrival.
  std::vector<int> live() const {
    std::vector<int> out =
        records([this](int r) { return table_.live(r) && table_.committed(r).finish == 0; });
    std::sort(out.begin(), out.end(), [this](int a, int b) {
      return static_cast<int32_t>(static_cast<uint32_t>(load(table_.owner(a).order)) -
                                  static_cast<uint32_t>(load(table_.owner(b).order))) < 0;
    });
    return out;
  }

  // Steps count for ever; the records keep their low 32 bits.
  void mark_step(const std::vector<std::pair<int, int32_t>>& marked, int64_t step) {
    table_.begin_step(static_cast<int32_t>(step));
    for (const auto& [record, reach] : marked) at(record).mark(record, static_cast<int32_t>(step), reach);
  }

 private:
  SequenceTable table_;
};

void bind_sequences(nb::module_& m) {
  m.def("sequence_bytes", [](int32_t capacity, int32_t context, int32_t caches, int32_t blocks) {
    return layout(capacity, context, caches, blocks).words() * static_cast<int64_t>(sizeof(int32_t));
  });
  m.attr("PARAMETERS_OFFSET") = SequenceLayout::parameters();  // words from the start of a record
  m.attr("STOP_IDS_OFFSET") = SequenceLayout::stop_ids();
  m.attr("BIAS_OFFSET") = SequenceLayout::bias();
  m.attr("TOKENS_OFFSET") = SequenceLayout::tokens();
  nb::class_<Table>(m, "SequenceTable", "See ostinato.engine.sequences, which wraps it.")
      .def(
          "__init__",
          [](Table* self, const Memory& memory, int32_t capacity, int32_t context, int32_t caches,
             int32_t blocks) { new (self) Table(memory, layout(capacity, context, caches, blocks)); },
          nb::keep_alive<1, 2>())
      .def("record_offset", [](Table& t, int record) { return t.at(record).layout().record(record); })
      .def("blocks_offset", [](const Table& t, int cache) { return t.get().layout().blocks(cache); })

      .def("is_live", [](Table& t, int record) { return t.at(record).live(record); })
      .def("generation", [](Table& t, int record) { return load(t.owner(record).generation); })
      .def("acked", [](Table& t, int record) { return load(t.owner(record).acked); })
      .def("ack", [](Table& t, int record, int32_t count) { store(t.owner(record).acked, count); })
      .def("publish", [](Table& t, int record, int32_t order) { t.at(record).publish(record, order); })
      .def("free", [](Table& t, int record) { t.at(record).free(record); })
      .def("commit", &Table::commit)
      .def("committed", &Table::committed)
      .def("live", &Table::live)
      .def("owned", [](const Table& t) { return t.records([&](int r) { return t.get().live(r); }); })
      .def("in_flight", [](const Table& t) { return t.records([&](int r) { return t.get().in_flight(r); }); })
      .def("mark_step", &Table::mark_step)
      .def("step_done", [](Table& t, int64_t step) { t.at(0).step_done(static_cast<int32_t>(step)); })
      .def("last_step", [](const Table& t) { return static_cast<uint32_t>(t.get().last_step()); })
      .def("reach", [](Table& t, int record) { return load(t.engine(record).reach); })
      .def("suspect", [](Table& t, int record) { return load(t.engine(record).suspect) != 0; })
      .def("set_suspect",
           [](Table& t, int record, bool value) { store(t.engine(record).suspect, int32_t(value)); });
}

int32_t& word_of(const Words& words, size_t index) {
  if (index >= words.size()) throw nb::index_error("no such word");
  return words.data()[index];
}

// Single words that another process or a device reads and writes at the same time.
void bind_words(nb::module_& m) {
  m.def(
      "load_word", [](const Words& words, size_t index) { return load(word_of(words, index)); }, "words"_a,
      "index"_a, "What was written before the word was stored is seen after this.");
  m.def(
      "store_word",
      [](const Words& words, size_t index, int32_t value) { store(word_of(words, index), value); }, "words"_a,
      "index"_a, "value"_a, "Whoever loads this value sees what was written before.");
}

}  // namespace
}  // namespace ostinato::rings

NB_MODULE(_rings, m) {
  m.doc() = "Lock-free rings and sequence records over shared memory.";
  ostinato::rings::bind_rings(m);
  ostinato::rings::bind_sequences(m);
  ostinato::rings::bind_words(m);
}
