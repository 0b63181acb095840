// Memory aligned to cache lines and full vectors; its size never changes. It starts as zeros, and large ones
// take pages of the machine only where they are written.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

namespace ostinato::cpu {

constexpr size_t kAlignment = 64;  // bytes: a cache line, and a full AVX-512 vector

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t count) : memory_(std::calloc(count * sizeof(T) + kAlignment, 1)), size_(count) {
    if (memory_ == nullptr) throw std::bad_alloc();
    const size_t past = reinterpret_cast<uintptr_t>(memory_) % kAlignment;
    data_ = reinterpret_cast<T*>(static_cast<uint8_t*>(memory_) + (kAlignment - past));
  }
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() { std::free(memory_); }

  T* data() const { return data_; }
  size_t size() const { return size_; }
  T& operator[](size_t i) const { return data_[i]; }

 private:
  void* memory_ = nullptr;
  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace ostinato::cpu
