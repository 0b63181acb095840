// What the store is given must fit: catalogues, plans.
#pragma once
#include <stdexcept>
#include <string>

namespace ostinato::memory {

// Throws std::invalid_argument where it does not.
inline void expect(bool fits, const std::string& what) {
  if (!fits) throw std::invalid_argument(what);
}

}  // namespace ostinato::memory
