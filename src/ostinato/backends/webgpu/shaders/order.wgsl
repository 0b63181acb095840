// Order of floats by integer keys, exact for every float: compilers may take floats to be finite. The best
// of a row is the candidate of the highest key, of equal ones the lowest id.

const KEY_NONE = 0u;  // NaN
const KEY_LEAST = 0x007fffffu;  // -infinity
const KEY_MOST = 0xff800000u;  // infinity

// Orders as floats do; both zeros alike, NaN below everything.
fn key_of(bits: u32) -> u32 {
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return KEY_NONE;
  }
  if (bits << 1u == 0u) {
    return 0x80000000u;
  }
  return select(bits | 0x80000000u, ~bits, bits >> 31u == 1u);
}

fn float_of(key: u32) -> f32 {
  return bitcast<f32>(select(~key, key & 0x7fffffffu, key >> 31u == 1u));
}

struct Candidate {
  key: u32,
  id: u32,
}

const FIRST = Candidate(0xffffffffu, 0u);  // stands before all others
const NOBODY = Candidate(KEY_NONE, 0xffffffffu);  // behind all others

fn is_better(a: Candidate, b: Candidate) -> bool {
  return a.key > b.key || (a.key == b.key && a.id < b.id);
}

var<workgroup> candidates: array<Candidate, LANES>;

// The best of all lanes' candidates: uniform. Begins and ends with a barrier.
fn best_of_lanes(own: Candidate, lane: u32) -> Candidate {
  workgroupBarrier();
  candidates[lane] = own;
  for (var reach = u32(LANES) / 2u; reach > 0u; reach /= 2u) {
    workgroupBarrier();
    if (lane < reach && is_better(candidates[lane + reach], candidates[lane])) {
      candidates[lane] = candidates[lane + reach];
    }
  }
  return workgroupUniformLoad(&candidates[0]);
}

// Of `count` floats in the arena the best that stands behind `last`. A lane looks at every LANES-th from its
// own on.
fn best_behind(last: Candidate, floats: u32, count: u32, lane: u32) -> Candidate {
  var own = NOBODY;
  for (var i = lane; i < count; i += u32(LANES)) {
    let candidate = Candidate(key_of(arena[floats + i]), i);
    if (is_better(last, candidate) && is_better(candidate, own)) {
      own = candidate;
    }
  }
  return best_of_lanes(own, lane);
}
