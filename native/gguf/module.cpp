// Python binding of what reads files by itself: the string scanner, and the thread that populates mappings.
#include <nanobind/nanobind.h>

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
  explicit Populating(nb::object buffer) : buffer_(buffer), population_(buffer_.bytes()) {}

  bool wait() {
    const nb::gil_scoped_release others_run;
    return population_.wait();
  }

 private:
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
                         "Reads what is not in memory of a mapped file, on a thread; ends with the object.")
      .def(nb::init<nb::object>(), nb::arg("buffer"),
           nb::sig("def __init__(self, buffer: collections.abc.Buffer) -> None"))
      .def("wait", &Populating::wait, "Wait for its end; whether it came through.");
}
