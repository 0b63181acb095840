// Scratch of divided attention: pieces [generated row, head, split], each a maximum, a sum and value_dim
// values.

fn partial_at(row: u32, head: u32, split: u32) -> u32 {
  return call.partials + ((row * heads + head) * u32(splits(state[LAYOUT_CONTEXT] - 1)) + split) * (value_dim + 2u);
}
