// Python binding of what reads files by itself: the string scanner, and the thread that populates mappings.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include "gguf/populate.h"
#include "gguf/strings.h"

namespace nb = nanobind;

namespace {

// A borrowed, contiguous view of any object with the buffer protocol.
class Buffer {
 public:
  explicit Buffer(nb::handle object) {
    if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) throw nb::python_error();
  }
  ~Buffer() { PyBuffer_Release(&view_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  std::span<const uint8_t> bytes() const {
    return {static_cast<const uint8_t*>(view_.buf), static_cast<size_t>(view_.len)};
  }

 private:
  Py_buffer view_;
};

nb::tuple skip_strings(nb::object buffer, uint64_t offset, uint64_t count) {
  const Buffer view(buffer);
  if (offset > view.bytes().size()) throw nb::value_error("offset lies past the end of the buffer");
  const auto run = ostinato::gguf::skip_strings(view.bytes(), offset, count);
  return nb::make_tuple(run.walked, run.offset);
}

// A population that keeps its buffer, and hence the mapping, as long as it lives.
class Populating {
 public:
  Populating(nb::object buffer, const std::vector<std::pair<size_t, size_t>>& runs, bool sparse)
      : buffer_(buffer), population_(spans(buffer_.bytes(), runs), sparse) {}

  bool wait() {
    const nb::gil_scoped_release others_run;
    return population_.wait();
  }

 private:
  using Bytes = std::span<const uint8_t>;

  static std::vector<Bytes> spans(Bytes all, const std::vector<std::pair<size_t, size_t>>& runs) {
    std::vector<Bytes> spans;
    for (const auto& [start, stop] : runs) {
      if (start > stop || stop > all.size()) throw nb::value_error("a run lies outside the buffer");
      spans.push_back(all.subspan(start, stop - start));
    }
    return spans;
  }

  Buffer buffer_;
  ostinato::gguf::Population population_;
};

}  // namespace

NB_MODULE(_gguf, m) {
  m.doc() = "Scanner of GGUF string arrays; population of mapped files.";
  m.def(
      "skip_strings", &skip_strings, nb::arg("buffer"), nb::arg("offset"), nb::arg("count"),
      nb::sig("def skip_strings(buffer: collections.abc.Buffer, offset: int, count: int) -> tuple[int, int]"),
      "Skip `count` length-prefixed strings from `offset` on: (whole strings skipped, offset behind them).");
  nb::class_<Populating>(m, "Populating",
                         "Reads what is not in memory of `runs` (start, stop) of a mapped file, which begin "
                         "on pages, on a thread; ends with the object. `sparse`: page faults of the mapping "
                         "read nothing ahead.")
      .def(nb::init<nb::object, const std::vector<std::pair<size_t, size_t>>&, bool>(), nb::arg("buffer"),
           nb::arg("runs"), nb::arg("sparse") = false,
           nb::sig(
               "def __init__(self, buffer: collections.abc.Buffer, runs: collections.abc.Sequence[tuple[int, "
               "int]], sparse: bool = False) -> None"))
      .def("wait", &Populating::wait, "Wait for its end; whether it came through.");
}
