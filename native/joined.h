// Threads that are waited for when their owner goes, also where the next one could not be started: what
// std::jthread is for, without -fexperimental-library, which libc++ (Apple's) wants for it.
#pragma once

#include <thread>
#include <utility>
#include <vector>

namespace ostinato {

class Joined {
 public:
  Joined() = default;
  Joined(const Joined&) = delete;
  Joined& operator=(const Joined&) = delete;
  ~Joined() {
    for (std::thread& thread : threads_) thread.join();
  }

  // Throws std::system_error where there can be no more threads.
  template <class... Call>
  void start(Call&&... call) {
    threads_.emplace_back(std::forward<Call>(call)...);
  }

 private:
  std::vector<std::thread> threads_;
};

}  // namespace ostinato
