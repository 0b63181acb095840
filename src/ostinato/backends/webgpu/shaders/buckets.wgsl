// Walking the rows that are assigned to experts: sorted rows, a bucket per (kind, expert).

// Bucket number `item` of those of this call's experts: kinds one after the other.
fn bucket_of(item: u32) -> u32 {
  return item / call.count * experts + call.first + item % call.count;
}

// Sorted rows of a bucket: first, and behind the last. Uniform, as `bucket` must be.
fn bucket_rows(bucket: u32, lane: u32) -> vec2<u32> {
  let begin = uniform_word(arena[call.offsets + bucket], lane);
  return vec2<u32>(begin, uniform_word(arena[call.offsets + bucket + 1u], lane));
}
