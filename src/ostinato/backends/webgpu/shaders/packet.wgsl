// Where the records of a packet begin (backends/batch_table.py). The packet is read-only, so what is read at
// a uniform place is uniform.

fn span_at(span: i32, word: i32) -> i32 {
  return HEADER_WORDS + span * SPAN_WORDS + word;
}

fn enter_at(enter: i32, word: i32) -> i32 {
  return span_at(packet[HEADER_SPANS], 0) + enter * ENTER_WORDS + word;
}

fn edit_at(edit: i32, word: i32) -> i32 {
  return enter_at(packet[HEADER_ENTERS], 0) + edit * TABLE_WORDS + word;
}

fn mask_at(mask: i32, word: i32) -> i32 {
  return edit_at(packet[HEADER_TABLES], 0) + mask * MASK_WORDS + word;
}

fn pool_at(offset: i32) -> i32 {
  return mask_at(packet[HEADER_MASKS], 0) + offset;
}
