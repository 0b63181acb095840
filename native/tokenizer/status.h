// The outcome of a step that can fail; the library is compiled without exceptions.
#pragma once
#include <string>
#include <utility>

namespace ostinato::tokenizer {

struct [[nodiscard]] Status {
  std::string problem;  // what is wrong, where, and what was expected; empty: nothing

  bool ok() const { return problem.empty(); }
};

inline Status failed(std::string problem) { return {std::move(problem)}; }

}  // namespace ostinato::tokenizer
