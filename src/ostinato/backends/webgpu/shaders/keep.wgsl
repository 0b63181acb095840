// Top-k and top-p. The tokens in question are entries: each lane keeps its own in a list of (score after
// temperature, id), in place of scores and counts, that only gets shorter. What a filter keeps is found by
// bisection on ordered keys, two bits at a time; sums have the order of the lists, then of the tree.

const BY_MASS = 0u;  // an entry weighs exp(score - highest)
const BY_COUNT = 1u;  // an entry weighs 1
const BY_TIES = 2u;  // entries of one key weigh 1, the others nothing; a lower id stands higher

struct Filter {
  scores: u32,  // place of the entries' scores
  ids: u32,  // and ids
  best: Candidate,
  highest: f32,  // score of the best
}

var<private> held: u32;  // entries of this lane
var<workgroup> lane_keys: array<u32, LANES>;
var<workgroup> bound: u32;
var<workgroup> tree3: array<vec3<f32>, LANES>;

fn tree_sum3(own: vec3<f32>, lane: u32) -> vec3<f32> {
  workgroupBarrier();
  tree3[lane] = own;
  for (var reach = u32(LANES) / 2u; reach > 0u; reach /= 2u) {
    workgroupBarrier();
    if (lane < reach) {
      tree3[lane] += tree3[lane + reach];
    }
  }
  return workgroupUniformLoad(&tree3[0]);
}

fn entry_at(e: u32, lane: u32) -> u32 {
  return e * u32(LANES) + lane;
}

// The entry goes to the end of the lane's list, which may stand at the entry itself.
fn hold(f: Filter, score: u32, id: u32, lane: u32) {
  arena[f.scores + entry_at(held, lane)] = score;
  arena[f.ids + entry_at(held, lane)] = id;
  held++;
}

// A key that at least `count` lanes' best candidates reach, count <= LANES: so the count best tokens reach
// it.
fn common_key(own: Candidate, count: u32, lane: u32) -> u32 {
  lane_keys[lane] = own.key;
  workgroupBarrier();
  var before = 0u;
  for (var other = 0u; other < u32(LANES); other++) {
    before += u32(lane_keys[other] > own.key || (lane_keys[other] == own.key && other < lane));
  }
  if (before == count - 1u) {
    bound = own.key;
  }
  return workgroupUniformLoad(&bound);
}

fn after_temperature(score: f32, temperature: f32) -> f32 {
  return max(score / temperature, LOWEST);
}

// Entries of all tokens that have a score; of key `least` at least, before temperature.
fn collect(f: Filter, least: u32, temperature: f32, lane: u32) {
  var floor = KEY_NONE;
  if (least > KEY_LEAST) {
    floor = key_of(bitcast<u32>(after_temperature(float_of(least), temperature)));
  }
  held = 0u;
  for (var t = lane; t < vocab; t += u32(LANES)) {
    let bits = arena[f.scores + t];
    let score = bitcast<u32>(after_temperature(bitcast<f32>(bits), temperature));
    if (key_of(bits) > KEY_LEAST && key_of(score) >= floor) {
      hold(f, score, t, lane);
    }
  }
}

fn weight_of(f: Filter, score: u32) -> f32 {
  return exp_accurate(bitcast<f32>(score) - f.highest);
}

// Drops entries behind `last`.
fn prune(f: Filter, last: Candidate, lane: u32) {
  let before = held;
  held = 0u;
  for (var e = 0u; e < before; e++) {
    let score = arena[f.scores + entry_at(e, lane)];
    let id = arena[f.ids + entry_at(e, lane)];
    if (!is_better(last, Candidate(key_of(score), id))) {
      hold(f, score, id, lane);
    }
  }
}

// Weight of the entries whose rank (key, or of ties the complement of the id) reaches each of three
// thresholds.
fn weigh(f: Filter, by: u32, tied: u32, thresholds: vec3<u32>, lane: u32) -> vec3<f32> {
  var sums = vec3<f32>();
  for (var e = 0u; e < held; e++) {
    let score = arena[f.scores + entry_at(e, lane)];
    var rank = key_of(score);
    if (by == BY_TIES) {
      rank = select(0u, ~arena[f.ids + entry_at(e, lane)], rank == tied);
    }
    if (rank >= thresholds.x) {
      let weight = select(1.0, weight_of(f, score), by == BY_MASS);
      sums += select(vec3<f32>(), vec3<f32>(weight), vec3<u32>(rank) >= thresholds);
    }
  }
  return tree_sum3(sums, lane);
}

// The highest rank that entries weighing `limit` together reach.
fn rank_reached(f: Filter, limit: f32, by: u32, tied: u32, lane: u32) -> u32 {
  var found = 0u;
  for (var shift = 32u; shift > 0u; shift -= 2u) {
    let thresholds = found + (vec3<u32>(1u, 2u, 3u) << vec3<u32>(shift - 2u));
    let reach = vec3<u32>(weigh(f, by, tied, thresholds, lane) >= vec3<f32>(limit));
    found += (reach.x + reach.y + reach.z) << (shift - 2u);
  }
  return found;
}

// Keeps the entries before which others of less than `limit` stand, the best always; of ties the lower ids.
fn keep_until(f: Filter, limit: f32, by: u32, lane: u32) {
  let key = min(rank_reached(f, limit, by, 0u, lane), f.best.key);
  let weights = weigh(f, by, 0u, vec3<u32>(key, key + 1u, 0xffffffffu), lane);
  let above = weights.y;
  let each = select(1.0, weight_of(f, bitcast<u32>(float_of(key))), by == BY_MASS);
  let wanted = max(ceil((limit - above) / each), 1.0);
  let ties = weigh(f, BY_TIES, key, vec3<u32>(1u), lane).x;
  var last = Candidate(key, 0xffffffffu);
  if (wanted < ties) {
    last.id = ~rank_reached(f, wanted, BY_TIES, key, lane);
  }
  prune(f, last, lane);
}

fn keep_top_k(f: Filter, top_k: u32, lane: u32) {
  if (f32(top_k) < tree_sum(f32(held), lane)) {
    keep_until(f, f32(top_k), BY_COUNT, lane);
  }
}

// Entries below (1 - p) / n of the total weigh less than 1 - p of it together, so none of them is kept: only
// the others are looked at in order. 2 % are left for rounding.
fn keep_top_p(f: Filter, top_p: f32, lane: u32) {
  let total = weigh(f, BY_MASS, 0u, vec3<u32>(1u), lane).x;
  let light = 0.98 * (1.0 - top_p) * total / tree_sum(f32(held), lane);
  let before = held;
  held = 0u;
  for (var e = 0u; e < before; e++) {
    let score = arena[f.scores + entry_at(e, lane)];
    if (weight_of(f, score) >= light) {
      hold(f, score, arena[f.ids + entry_at(e, lane)], lane);
    }
  }
  keep_until(f, top_p * total, BY_MASS, lane);
}
