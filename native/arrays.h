// What bindings hand to Python.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <memory>

namespace ostinato {

// A NumPy array that owns a copy of the data.
template <class T>
nanobind::object numpy(const T* data, std::initializer_list<size_t> shape) {
  size_t size = 1;
  for (const size_t length : shape) size *= length;
  auto copy = std::make_unique<T[]>(size);
  std::copy_n(data, size, copy.get());
  nanobind::capsule owner(copy.get(), [](void* memory) noexcept { delete[] static_cast<T*>(memory); });
  return nanobind::cast(nanobind::ndarray<nanobind::numpy, T>(copy.release(), shape, owner));
}

}  // namespace ostinato
