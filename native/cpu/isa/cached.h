// Cached elements as floats: where a chunk's keys and values lie, 16 positions at a time, and scratch for
// those that lie otherwise. Part of isa/vectors.cpp.

constexpr int64_t kRuns = kChunk / kLanes;  // a run: 16 positions

// Keys of a run: F16, F32 [key_dim, 16], rows key_step bytes apart; Q8_0 codes [key_dim / 4, 16, 4], groups
// of four rows key_step apart, and scales [key_dim / 32, 16]. Values of a run: [16, value_dim], rows
// value_step apart, and of Q8_0 scales [value_dim / 32, 16]. Rows of scales are scale_step apart.
struct Chunk {
  const uint8_t *key[kRuns], *key_scale[kRuns], *value[kRuns], *value_scale[kRuns];
  int64_t key_step, value_step, scale_step, runs;
};

// Elements in a row, by how they are stored: a part of them, or 16; `some` takes fewer and reads no more.
struct Half {
  static constexpr int64_t kBytes = 2;
  static LANE_INLINE FloatPart part(const uint8_t* p) {
    return load_half_part(reinterpret_cast<const uint16_t*>(p));
  }
  static LANE_INLINE F16x load(const uint8_t* p) { return load_half(reinterpret_cast<const uint16_t*>(p)); }
  static LANE_INLINE F16x some(const uint8_t* p, int64_t n) {
    uint16_t lanes[kLanes] = {};
    __builtin_memcpy(lanes, p, kBytes * n);
    return load_half(lanes);
  }
};
struct Float {
  static constexpr int64_t kBytes = 4;
  static LANE_INLINE FloatPart part(const uint8_t* p) { return load_part(reinterpret_cast<const float*>(p)); }
  static LANE_INLINE F16x load(const uint8_t* p) { return *reinterpret_cast<const F16xAny*>(p); }
  static LANE_INLINE F16x some(const uint8_t* p, int64_t n) {
    return load_first(reinterpret_cast<const float*>(p), n, 0);
  }
};
struct Code {  // without its scale
  static constexpr int64_t kBytes = 1;
  static LANE_INLINE FloatPart part(const uint8_t* p) {
    return load_bytes_part(reinterpret_cast<const int8_t*>(p));
  }
  static LANE_INLINE F16x load(const uint8_t* p) { return load_bytes(reinterpret_cast<const int8_t*>(p)); }
  static LANE_INLINE F16x some(const uint8_t* p, int64_t n) {
    int8_t lanes[kLanes] = {};
    __builtin_memcpy(lanes, p, kBytes * n);
    return load(reinterpret_cast<const uint8_t*>(lanes));
  }
};

LANE_INLINE F16x scale_at(const uint8_t* scales) {
  return load_half(reinterpret_cast<const uint16_t*>(scales));
}

// Row `row` of four in groups of four codes.
LANE_INLINE FloatPart code_row(MaskPart groups, int row) {
  return __builtin_convertvector((groups << (24 - 8 * row)) >> 24, FloatPart);
}
LANE_INLINE F16x code_row(const uint8_t* groups, int row) {
  return join_parts(
      [&](int i) { return code_row(*reinterpret_cast<const MaskPartAny*>(groups + i * kPartBytes), row); });
}

// Of all positions of a block: a head's Q8_0 codes come before its scales.
LANE_INLINE int64_t element_bytes(KVType type) {
  return type == KVType::kF16 ? 2 : type == KVType::kF32 ? 4 : 1;
}

struct Place {
  const uint8_t *keys, *values;  // of the block
  int64_t within;                // position in it
};

LANE_INLINE Place place(const Pages& pages, int64_t position) {
  const int64_t block = pages.table[position / pages.block_size];
  return {pages.keys + block * pages.key_bytes, pages.values + block * pages.value_bytes,
          position % pages.block_size};
}

// Positions [begin, end) where they are: blocks hold whole runs.
void find(const Pages& pages, int64_t begin, int64_t end, Chunk& out) {
  const int64_t size = pages.block_size, bytes = element_bytes(pages.type);
  const bool codes = pages.type == KVType::kQ8_0;
  out.runs = (end - begin + kLanes - 1) / kLanes;
  for (int64_t run = 0; run < out.runs; ++run) {
    const Place at = place(pages, begin + run * kLanes);
    out.key[run] = at.keys + at.within * (codes ? 4 : bytes);
    out.key_scale[run] = at.keys + size * pages.key_dim + 2 * at.within;
    out.value[run] = at.values + at.within * pages.value_dim * bytes;
    out.value_scale[run] = at.values + size * pages.value_dim + 2 * at.within;
  }
  out.key_step = size * (codes ? 4 : bytes);
  out.value_step = pages.value_dim * bytes;
  out.scale_step = 2 * size;
}

// A chunk in scratch: floats, or codes as floats beside their scales.
struct Copied {
  float *keys, *values;   // [key_dim, kChunk], [kChunk, padded(value_dim)]
  uint16_t* value_scale;  // [value_dim / 32, kChunk]
};

// Element d of a position's key, and of its value, without scales.
LANE_INLINE float key_element(const Pages& pages, const Place& at, int64_t d) {
  const uint8_t* keys = at.keys;
  const int64_t index = d * pages.block_size + at.within;
  switch (pages.type) {
    case KVType::kF16:
      return Half::some(keys + 2 * index, 1)[0];
    case KVType::kF32:
      return reinterpret_cast<const float*>(keys)[index];
    default: {
      const int64_t four = d / 4 * pages.block_size + at.within;
      return reinterpret_cast<const int8_t*>(keys)[4 * four + d % 4];
    }
  }
}
LANE_INLINE F16x value_elements(const Pages& pages, const Place& at, int64_t d, int64_t lanes) {
  const uint8_t* value = at.values + (at.within * pages.value_dim + d) * element_bytes(pages.type);
  return pages.type == KVType::kF16   ? Half::some(value, lanes)
         : pages.type == KVType::kF32 ? Float::some(value, lanes)
                                      : Code::some(value, lanes);
}

// The scale of element d of a position's key or value, whose head of `dim` elements begins at `codes`.
LANE_INLINE uint16_t scale_of(const Pages& pages, const uint8_t* codes, int64_t dim, int64_t d,
                              int64_t within) {
  const uint8_t* scales = codes + pages.block_size * dim;
  return reinterpret_cast<const uint16_t*>(scales)[d / kQuantBlock * pages.block_size + within];
}

// 16 x 16 elements, rows and columns swapped: by eights, fours, twos and ones.
template <int S, size_t... L>
LANE_INLINE void swap_blocks(F16x* v, std::index_sequence<L...>) {
  for (int i = 0; i < kLanes; ++i) {
    if (i & S) continue;
    const F16x a = v[i], b = v[i + S];
    v[i] = __builtin_shufflevector(a, b, ((L & S) ? 16 + L - S : L)...);
    v[i + S] = __builtin_shufflevector(a, b, ((L & S) ? 16 + L : L + S)...);
  }
}
LANE_INLINE void transpose(F16x* v) {
  constexpr auto kAll = std::make_index_sequence<kLanes>{};
  swap_blocks<8>(v, kAll), swap_blocks<4>(v, kAll), swap_blocks<2>(v, kAll), swap_blocks<1>(v, kAll);
}

// Keys [key_dim, kChunk] of positions [0, count), scales left out; the rest of the last run is anything.
void copy_runs(const Pages& pages, int64_t begin, int64_t count, float* out) {
  Chunk chunk;
  find(pages, begin, begin + count, chunk);
  for (int64_t run = 0; run * kLanes < count; ++run) {
    for (int64_t d = 0; d < pages.key_dim; ++d) {
      const bool codes = pages.type == KVType::kQ8_0;
      const uint8_t* at = chunk.key[run] + (codes ? d / 4 : d) * chunk.key_step;
      const F16x keys = codes                        ? code_row(at, d % 4)
                        : pages.type == KVType::kF16 ? Half::load(at)
                                                     : Float::load(at);
      store(out + d * kChunk + run * kLanes, keys);
    }
  }
}

void copy_keys(const Pages& pages, int64_t begin, int64_t count, float* out) {
  if (pages.block_size % kLanes == 0) return copy_runs(pages, begin, count, out);
  for (int64_t i = 0; i < count; ++i) {
    const Place at = place(pages, begin + i);
    for (int64_t d = 0; d < pages.key_dim; ++d) out[d * kChunk + i] = key_element(pages, at, d);
  }
}

// Values [count, padded(value_dim)] that are the first elements of the keys [key_dim, kChunk].
void turn_keys(const Pages& pages, int64_t count, const float* keys, float* out) {
  const int64_t width = padded(pages.value_dim);
  for (int64_t i = 0; i < count; i += kLanes) {
    for (int64_t d = 0; d < width; d += kLanes) {
      F16x v[kLanes];
      for (int64_t row = 0; row < kLanes; ++row)
        v[row] = d + row < pages.value_dim ? load(keys + (d + row) * kChunk + i) : splat(0);
      transpose(v);
      for (int64_t row = 0; row < kLanes; ++row) store(out + (i + row) * width + d, v[row]);
    }
  }
}

void copy_values(const Pages& pages, int64_t begin, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i, out += padded(pages.value_dim)) {
    const Place at = place(pages, begin + i);
    by_lanes(pages.value_dim,
             [&](int64_t d, int64_t lanes) { store(out + d, value_elements(pages, at, d, lanes)); });
  }
}

// Q8_0: keys take their scales; those of the values are kept beside them.
void copy_scales(const Pages& pages, int64_t begin, int64_t count, const Copied& out) {
  const bool own = !pages.values_in_keys;
  for (int64_t i = 0; i < count; ++i) {
    const Place at = place(pages, begin + i);
    for (int64_t d = 0; d < pages.key_dim;) {
      uint16_t lanes[kLanes] = {scale_of(pages, at.keys, pages.key_dim, d, at.within)};
      const float scale = load_half(lanes)[0];
      for (const int64_t end = d + kQuantBlock; d < end; ++d) out.keys[d * kChunk + i] *= scale;
    }
    for (int64_t d = 0; d < pages.value_dim; d += kQuantBlock) {
      out.value_scale[d / kQuantBlock * kChunk + i] =
          scale_of(pages, own ? at.values : at.keys, own ? pages.value_dim : pages.key_dim, d, at.within);
    }
  }
}

// Positions [begin, end) of scattered pages, brought into scratch.
void copy(const Pages& pages, int64_t begin, int64_t end, float* scratch, Chunk& out) {
  const int64_t count = end - begin, width = padded(pages.value_dim);
  const Copied to{scratch, scratch + kChunk * pages.key_dim,
                  reinterpret_cast<uint16_t*>(scratch + kChunk * (pages.key_dim + width))};
  copy_keys(pages, begin, count, to.keys);
  if (pages.values_in_keys) {
    turn_keys(pages, count, to.keys, to.values);
  } else {
    copy_values(pages, begin, count, to.values);
  }
  if (pages.type == KVType::kQ8_0) copy_scales(pages, begin, count, to);
  out.runs = (count + kLanes - 1) / kLanes;
  for (int64_t run = 0; run < out.runs; ++run) {
    out.key[run] = reinterpret_cast<const uint8_t*>(to.keys + run * kLanes);
    out.value[run] = reinterpret_cast<const uint8_t*>(to.values + run * kLanes * width);
    out.value_scale[run] = reinterpret_cast<const uint8_t*>(to.value_scale + run * kLanes);
  }
  out.key_step = kChunk * sizeof(float);
  out.value_step = width * sizeof(float);
  out.scale_step = kChunk * sizeof(uint16_t);
}

// 32 floats as Q8_0, rounded half away from zero.
LANE_INLINE void quantise_block(const float* x, int8_t* codes, uint16_t* scale) {
  const F16x v[2] = {load(x), load(x + kLanes)};
  F16x magnitude[2];
  for (int i = 0; i < 2; ++i) magnitude[i] = (F16x)((I16x)v[i] & 0x7fffffff);
  const float largest = max_lanes(larger(magnitude[0], magnitude[1]));
  const float total = sum_lanes(magnitude[0] + magnitude[1]);  // not finite where an element is not
  const bool sound = total - total == 0 || (total == __builtin_inff() && largest < __builtin_inff());
  const float d = largest / 127, inverse = 1 / d;
  const bool none = !sound || inverse == __builtin_inff();
  for (int i = 0; i < 2; ++i) {
    const F16x scaled = v[i] * splat(inverse);
    const F16x half = (F16x)(((I16x)scaled & static_cast<int32_t>(0x80000000)) | (I16x)splat(0.5f));
    const I16x rounded = __builtin_convertvector(none ? splat(0) : scaled + half, I16x);
    for (int lane = 0; lane < kLanes; ++lane) codes[i * kLanes + lane] = static_cast<int8_t>(rounded[lane]);
  }
  *scale = half_of(sound ? d : __builtin_nanf(""));
}

void to_q8(const float* x, int64_t n, int8_t* codes, uint16_t* scales) {
  for (int64_t i = 0; i < n; i += kQuantBlock) quantise_block(x + i, codes + i, scales + i / kQuantBlock);
}
