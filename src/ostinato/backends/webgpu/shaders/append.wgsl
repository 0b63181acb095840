// append: each row's key and value at its position. An invocation writes two elements: a word of float16.

fn write_pair(element: u32, source: u32) {
  let x = arena[source];
  let y = arena[source + 1u];
  if (half != 0u) {
    kv[element / 2u] = pack_halves(bitcast<f32>(x), bitcast<f32>(y));
  } else {
    kv[element] = x;
    kv[element + 1u] = y;
  }
}

// `element` is one of the row's kv_heads x (key_dim + value_dim): keys of all heads, then values.
fn write_element(row: u32, element: u32) {
  let position = row_position(row);
  if (position == INACTIVE) {
    return;
  }
  let block = block_of(row_slot(row), position);
  let keys = kv_heads * key_dim;
  if (element < keys) {
    let head = element / key_dim;
    write_pair(key_at(block, position) + head * key_stride() + element % key_dim, call.k + row * keys + element);
  } else {
    let value = element - keys;
    let head = value / value_dim;
    write_pair(value_at(block, position) + head * value_stride() + value % value_dim,
               call.v + row * kv_heads * value_dim + value);
  }
}

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let pairs = kv_heads * (key_dim + value_dim) / 2u;
  for (var i = id.x; i < u32(step_rows()) * pairs; i += groups.x * u32(LANES)) {
    write_element(i / pairs, i % pairs * 2u);
  }
}
