// Attention of one query head over at most ATTEND_SPLIT positions, by one workgroup.
//
// Scores: a lane per position. Values: a lane per two elements, the positions dealt to as many parts as fit
// the workgroup. Every sum's order follows from key_dim, value_dim and the position in the split alone.

var<workgroup> query: array<f32, MAX_HEAD>;  // times scale
var<workgroup> places: array<u32, ATTEND_SPLIT>;  // kv element of each position's value
var<workgroup> weights: array<f32, ATTEND_SPLIT>;  // exp(score - highest) of each position
var<workgroup> sums: array<vec2<f32>, LANES>;

// Loads head `head` of row `row`. A barrier must stand before the first split.
fn load_query(row: u32, head: u32, lane: u32) {
  if (lane < key_dim) {
    query[lane] = float_at(call.q + (row * heads + head) * key_dim + lane) * scale;
  }
}

fn score(element: u32) -> f32 {
  var sum = vec2<f32>();
  for (var i = 0u; i < key_dim; i += 2u) {
    sum = fma(vec2<f32>(query[i], query[i + 1u]), kv_pair(element + i), sum);
  }
  return sum.x + sum.y;
}

// Parts into which the positions are dealt: a power of two.
fn value_parts() -> u32 {
  return 1u << firstLeadingBit(u32(LANES) / (value_dim / 2u));
}

// sums[i] becomes elements 2i and 2i + 1 of the weighted values of `count` positions.
fn weigh_values(count: u32, lane: u32) {
  let pairs = value_dim / 2u;
  let part = lane / pairs;
  var sum = vec2<f32>();
  if (part < value_parts()) {
    for (var i = part; i < count; i += value_parts()) {
      sum = fma(vec2<f32>(weights[i]), kv_pair(places[i] + lane % pairs * 2u), sum);
    }
  }
  sums[lane] = sum;
  for (var parts = value_parts() / 2u; parts > 0u; parts /= 2u) {
    workgroupBarrier();
    if (lane < parts * pairs) {
      sums[lane] += sums[lane + parts * pairs];
    }
  }
  workgroupBarrier();
}

// The piece that positions first .. last (exclusive) of the slot make; `value` is element `lane`, for lane <
// value_dim. Begins and ends with a barrier.
fn attend_piece(slot: i32, first: i32, last: i32, kv_head: u32, lane: u32) -> Piece {
  workgroupBarrier();
  let position = first + i32(lane);
  var own = LOWEST;
  if (position < last) {
    let block = block_of(slot, position);
    places[lane] = value_at(block, position) + kv_head * value_stride();
    own = score(key_at(block, position) + kv_head * key_stride());
  }
  let highest = tree_max(own, lane);
  var weight = 0.0;
  if (position < last) {
    weight = exp_accurate(own - highest);
  }
  weights[lane] = weight;
  let sum = tree_sum(weight, lane);
  weigh_values(u32(last - first), lane);
  let value = sums[lane / 2u][lane % 2u];
  workgroupBarrier();
  return Piece(highest, sum, value);
}
