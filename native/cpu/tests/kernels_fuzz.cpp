// Random blocks of every type through every kernel, for the sanitizers: kernels_fuzz SEED ROUNDS.
//
// Prints how many cases it tried and which levels it compared with the portable one.
//
// Weights are any bytes at all, in memory that ends where they do; so scales are infinite, no numbers, or
// subnormal. Every level must give what the portable one does, any NaN being as good as another; of prompt
// rows, that a row's products are the same alone.
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/tests/tiles.h"

namespace {

using namespace ostinato;
using Random = std::mt19937;

constexpr int kTypes = 64;  // numbers of types are below

int below(Random& random, int end) { return static_cast<int>(random() % static_cast<unsigned>(end)); }

// Memory of exactly this size, aligned as packed rows must be.
template <class T>
std::unique_ptr<T[], void (*)(void*)> exactly(size_t count) {
  void* memory = std::aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64);
  return {static_cast<T*>(memory), std::free};
}

std::vector<float> activations(Random& random, int64_t count) {
  std::vector<float> x(count);
  std::normal_distribution<float> normal;
  for (float& value : x) value = normal(random);
  if (below(random, 4) == 0)
    x[below(random, static_cast<int>(count))] = std::bit_cast<float>(static_cast<uint32_t>(random()));
  return x;
}

struct Case {
  TensorType type;
  int64_t n, k, rows, row_bytes;
  std::vector<uint8_t> weights;
  std::vector<float> x;

  Case(TensorType type, Random& random)
      : type(type),
        n(1 + below(random, 40)),
        k(int64_t{block_shape(type).elements} *
          (1 + below(random, block_shape(type).elements == 1 ? 300 : 9))),
        rows(1 + below(random, 40)),
        row_bytes(k / block_shape(type).elements * block_shape(type).bytes),
        weights(n * row_bytes),
        x(activations(random, rows * k)) {
    for (uint8_t& byte : weights) byte = static_cast<uint8_t>(random());
  }

  std::vector<float> products(const cpu::Arithmetic& arithmetic, int64_t rows) const {
    const auto packed_bytes = static_cast<int64_t>(arithmetic.packed_bytes(type, k));
    const auto packed = exactly<uint8_t>(rows * packed_bytes);
    for (int64_t r = 0; r < rows; ++r)
      arithmetic.pack(type, x.data() + r * k, k, packed.get() + r * packed_bytes);
    std::vector<float> out(rows * n);
    arithmetic.matmul(type, {weights.data(), n, row_bytes}, k, packed.get(), rows, out.data(), n);
    return out;
  }

  std::vector<float> values(const cpu::Kernels& kernels) const {
    std::vector<float> out(k);
    kernels.dequantize(type, weights.data() + (n - 1) * row_bytes, k, out.data());
    return out;
  }
};

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    const bool equal = std::bit_cast<uint32_t>(a[i]) == std::bit_cast<uint32_t>(b[i]);
    if (!equal && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
  }
  return true;
}

bool sound(const Case& c, const cpu::Kernels& kernels, const std::vector<float>& products,
           const std::vector<float>& values) {
  return same(products, c.products(kernels.generated, c.rows)) && same(values, c.values(kernels)) &&
         same(c.products(kernels.prompt, 1), c.products(kernels.prompt, c.rows));
}

// Those of this machine beyond the portable one, and emulated tiles.
std::vector<const cpu::Kernels*> levels() {
  std::vector<const cpu::Kernels*> found;
  for (cpu::Isa isa : cpu::kIsas) {
    const cpu::Kernels* kernels = cpu::kernels_for(isa);
    if (isa != cpu::Isa::kPortable && kernels != nullptr) found.push_back(kernels);
  }
#ifdef OSTINATO_X86
  if (const auto* kernels = cpu::emulated_amx()) found.push_back(kernels);
#endif
  return found;
}

// How many types were tried; ends the program where two levels differ.
int round(Random& random) {
  const cpu::Kernels& portable = *cpu::kernels_for(cpu::Isa::kPortable);
  int tried = 0;
  for (int number = 0; number < kTypes; ++number) {
    const auto type = static_cast<TensorType>(number);
    if (portable.generated.packing(type) == cpu::Packing::kNone) continue;
    const Case c(type, random);
    const auto products = c.products(portable.generated, c.rows), values = c.values(portable);
    for (const cpu::Kernels* kernels : levels()) {
      if (sound(c, *kernels, products, values)) continue;
      std::fprintf(stderr, "type %d, %s: n %d, k %d, rows %d\n", number, kernels->name, static_cast<int>(c.n),
                   static_cast<int>(c.k), static_cast<int>(c.rows));
      std::exit(1);
    }
    ++tried;
  }
  return tried;
}

}  // namespace

int main(int count, char** words) {
  if (count != 3) return 2;
  Random random(static_cast<unsigned>(std::atoi(words[1])));
  int tried = 0;
  for (int i = 0; i < std::atoi(words[2]); ++i) tried += round(random);
  std::printf("%d", tried);
  for (const cpu::Kernels* kernels : levels()) std::printf(" %s", kernels->name);
  std::puts("");
}
