// What acts on raw logits: biases, penalties, the mask. A token belongs to lane token % LANES from the first
// pass to the last, so that lanes need no barriers between passes.
//
// A logit that is not finite stays as it is: no bias or penalty would change it.

const SEEN = 1u;  // in a token's count: it stands anywhere before
const GENERATED = 2u;  // added for every time that it was generated

var<workgroup> tile: array<u32, LANES>;  // of the history

fn is_finite(bits: u32) -> bool {
  return (bits & 0x7f800000u) != 0x7f800000u;
}

// Duplicates act in the order of the list: a lane goes through all of it for its tokens.
fn add_biases(job: Job, lane: u32) {
  for (var i = 0; i < job.bias_count; i++) {
    let token = u32(state[bias_at(job.slot, 2 * i)]);
    if (token % u32(LANES) == lane && is_finite(arena[job.scores + token])) {
      set_float(job.scores + token, float_at(job.scores + token) + bitcast<f32>(state[bias_at(job.slot, 2 * i + 1)]));
    }
  }
}

// counts[token] of every token in the history from `first` on; they were 0.
fn count_tokens(job: Job, first: i32, lane: u32) {
  for (var start = first; start < job.position; start += LANES) {
    workgroupBarrier();
    if (start + i32(lane) < job.position) {
      tile[lane] = u32(state[history_at(job.slot, start + i32(lane))]);
    }
    workgroupBarrier();
    for (var i = 0; i < min(LANES, job.position - start); i++) {
      if (tile[i] % u32(LANES) == lane) {
        let generated = select(0u, GENERATED, start + i >= job.prompt_length);
        arena[job.counts + tile[i]] = (arena[job.counts + tile[i]] + generated) | SEEN;
      }
    }
  }
}

fn penalised(score: f32, count: u32, job: Job) -> f32 {
  var x = score;
  if (count != 0u && job.repetition != 1.0) {
    x = select(x * job.repetition, x / job.repetition, x > 0.0);
  }
  if (count >= GENERATED) {
    x -= job.presence;
    x -= job.frequency * f32(count / GENERATED);
  }
  return x;
}

fn is_allowed(token: u32, job: Job) -> bool {
  return job.mask == NO_MASK || ((packet[u32(job.mask) + token / 32u] >> (token % 32u)) & 1) != 0;
}

// scores[token]: the logit after biases, penalties and mask; those out of question are -infinity. Returns
// the lane's best candidate.
fn score_tokens(job: Job, lane: u32) -> Candidate {
  for (var t = lane; t < vocab; t += u32(LANES)) {
    arena[job.scores + t] = arena[job.logits + t];
    arena[job.counts + t] = 0u;
  }
  add_biases(job, lane);
  if (job.repetition != 1.0) {
    count_tokens(job, 0, lane);
  } else if (job.presence != 0.0 || job.frequency != 0.0) {
    count_tokens(job, job.prompt_length, lane);
  }
  var best = NOBODY;
  for (var t = lane; t < vocab; t += u32(LANES)) {
    var bits = arena[job.scores + t];
    if (is_finite(bits)) {
      bits = bitcast<u32>(penalised(bitcast<f32>(bits), arena[job.counts + t], job));
    }
    let candidate = Candidate(select(KEY_LEAST, max(key_of(bits), KEY_LEAST), is_allowed(t, job)), t);
    arena[job.scores + t] = bitcast<u32>(float_of(candidate.key));
    if (is_better(candidate, best)) {
      best = candidate;
    }
  }
  return best;
}
