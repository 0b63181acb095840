// Keys and values in blocks: of a layer [blocks][keys [kv_heads][block_size][key_dim] | values, alike].
#pragma once
#include "machine.h"

namespace ostinato::cuda {

// Where positions of sequences lie: their block, and the place within it.
struct Places {
  Lane<int32_t> block, within;
};

OSTINATO_DEVICE inline Places places(const Machine& m, int32_t slot, int32_t cache,
                                     const Lane<int32_t>& position) {
  const int32_t size = m.layout().block_size;
  return {load(m.table(slot, cache), position / size), position % size};
}

// One layer of a cache group of elements E: float, or uint16_t with the bits of a float16.
template <class E>
struct Pages {
  E* base;
  int32_t kv_heads, block_size, key_dim, value_dim;

  template <class Call>  // Append, Attend, AttendSplit
  OSTINATO_DEVICE Pages(const Call& c, const Machine& m)
      : base(reinterpret_cast<E*>(m.kv[c.cache])),
        kv_heads(c.kv_heads),
        block_size(m.layout().block_size),
        key_dim(c.key_dim),
        value_dim(c.value_dim) {
    base += static_cast<int64_t>(c.index) * m.layout().blocks * block_elements();
  }

  OSTINATO_DEVICE int32_t block_elements() const { return kv_heads * block_size * (key_dim + value_dim); }

  // Element at which a head's key, value starts in its block.
  OSTINATO_DEVICE int32_t key_at(int32_t head, int32_t within) const {
    return (head * block_size + within) * key_dim;
  }
  OSTINATO_DEVICE int32_t value_at(int32_t head, int32_t within) const {
    return kv_heads * block_size * key_dim + (head * block_size + within) * value_dim;
  }
  OSTINATO_DEVICE E* block(int32_t number) const {
    return base + static_cast<int64_t>(number) * block_elements();
  }
};

OSTINATO_DEVICE inline void store_element(const Mask& mask, float* base, const Lane<int32_t>& index,
                                          const Lane<float>& value) {
  store_where(mask, base, index, value);
}
OSTINATO_DEVICE inline void store_element(const Mask& mask, uint16_t* base, const Lane<int32_t>& index,
                                          const Lane<float>& value) {
  store_where(mask, base, index, float_to_half(value));
}

}  // namespace ostinato::cuda
