// Keys and values of one layer: per block keys [kv_heads][block_size][key_dim], then values alike.

fn block_of(slot: i32, position: i32) -> i32 {
  return state[table_at(slot, i32(cache), position / state[LAYOUT_BLOCK_SIZE])];
}

// Element of kv at which the key of KV head 0 at `position` begins, in block `block`.
fn key_at(block: i32, position: i32) -> u32 {
  let size = u32(state[LAYOUT_BLOCK_SIZE]);
  return (u32(block) * kv_heads * (key_dim + value_dim)) * size + u32(position) % size * key_dim;
}

fn value_at(block: i32, position: i32) -> u32 {
  let size = u32(state[LAYOUT_BLOCK_SIZE]);
  return (u32(block) * kv_heads * (key_dim + value_dim) + kv_heads * key_dim) * size + u32(position) % size * value_dim;
}

// From one KV head to the next, in elements.
fn key_stride() -> u32 {
  return u32(state[LAYOUT_BLOCK_SIZE]) * key_dim;
}

fn value_stride() -> u32 {
  return u32(state[LAYOUT_BLOCK_SIZE]) * value_dim;
}

// Two elements from an even one on.
fn kv_pair(element: u32) -> vec2<f32> {
  if (half != 0u) {
    return unpack2x16float(kv[element / 2u]);
  }
  return vec2<f32>(bitcast<f32>(kv[element]), bitcast<f32>(kv[element + 1u]));
}
