// Loads and stores of plain words in memory that several processes map, and the hook that tests crash in.
//
// Compiled with -DOSTINATO_AFTER_STORE=f, every store of this unit is followed by a call of f(), so that a
// test can kill the writer between any two of them. Otherwise the hook is nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ostinato::rings {

constexpr size_t kLine = 64;  // bytes; words that different processes write lie on different cache lines

template <class Word>
inline Word load(const Word& word) {
  return __atomic_load_n(&word, __ATOMIC_ACQUIRE);
}

#ifdef OSTINATO_AFTER_STORE

void OSTINATO_AFTER_STORE();

template <class Word>
inline void store(Word& word, Word value) {
  __atomic_store_n(&word, value, __ATOMIC_RELEASE);
  OSTINATO_AFTER_STORE();
}

inline void copy_words(int32_t* to, const int32_t* from, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    to[i] = from[i];
    OSTINATO_AFTER_STORE();
  }
}

#else

template <class Word>
inline void store(Word& word, Word value) {
  __atomic_store_n(&word, value, __ATOMIC_RELEASE);
}

inline void copy_words(int32_t* to, const int32_t* from, size_t count) {
  std::memcpy(to, from, count * sizeof(int32_t));
}

#endif

}  // namespace ostinato::rings
