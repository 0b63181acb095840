// Drawn and Best of one draw: log softmax of the raw logits at the token and at the best.

struct Softmax {
  valid: bool,  // the best logit is finite and none is NaN
  highest: f32,
  log_sum: f32,
}

// NaN stands before all others here.
fn highest_logit(job: Job, lane: u32) -> Candidate {
  var own = NOBODY;
  for (var t = lane; t < vocab; t += u32(LANES)) {
    let key = key_of(arena[job.logits + t]);
    let candidate = Candidate(select(key, FIRST.key, key == KEY_NONE), t);
    if (is_better(candidate, own)) {
      own = candidate;
    }
  }
  return best_of_lanes(own, lane);
}

fn softmax_of(job: Job, lane: u32) -> Softmax {
  let best = highest_logit(job, lane);
  if (best.key <= KEY_LEAST || best.key >= KEY_MOST) {
    return Softmax(false, 0.0, 0.0);
  }
  let highest = float_of(best.key);
  var sum = 0.0;
  for (var t = lane; t < vocab; t += u32(LANES)) {
    sum += exp_accurate(float_at(job.logits + t) - highest);
  }
  return Softmax(true, highest, log_accurate(tree_sum(sum, lane)));
}

// Bits of the log-probability of a token; NaN for no token.
fn logprob_of(job: Job, s: Softmax, token: i32) -> u32 {
  if (!s.valid || token < 0) {
    return NAN_BITS;
  }
  let bits = arena[job.logits + u32(token)];
  if (!is_finite(bits)) {
    return bits;  // -infinity
  }
  return bitcast<u32>(bitcast<f32>(bits) - s.highest - s.log_sum);
}

fn report(job: Job, token: i32, lane: u32) {
  var count = 0u;
  var s = Softmax(false, 0.0, 0.0);
  if (job.logprobs >= 0 && token != NOTHING) {
    s = softmax_of(job, lane);
    count = min(u32(job.logprobs), vocab);
  }
  let sequences = state[LAYOUT_MAX_SEQUENCES];
  let number = u32(state[step_at(STEP_STEP)] * sequences + job.number);
  let drawn = number * u32(DRAWN_WORDS);
  let best = u32(state[LAYOUT_MAX_STEPS] * sequences * DRAWN_WORDS) + number * u32(BEST_WORDS);
  if (lane == 0u) {
    result[drawn + u32(DRAWN_SLOT)] = u32(job.slot);
    result[drawn + u32(DRAWN_POSITION)] = bitcast<u32>(job.position);
    result[drawn + u32(DRAWN_TOKEN)] = bitcast<u32>(token);
    result[drawn + u32(DRAWN_LOGPROB)] = logprob_of(job, s, token);
  }
  var candidate = FIRST;
  for (var i = 0u; i < u32(MAX_TOP_LOGPROBS); i++) {
    var id = -1;
    if (i < count) {
      candidate = best_behind(candidate, job.logits, vocab, lane);
      id = i32(candidate.id);
    }
    if (lane == 0u) {
      result[best + u32(BEST_ID0) + i] = bitcast<u32>(id);
      result[best + u32(BEST_LOGPROB0) + i] = logprob_of(job, s, id);
    }
  }
}
