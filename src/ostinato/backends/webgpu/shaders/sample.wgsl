// sample: a workgroup per draw, as backends/reference/sample.py says. Noise that is infinite or not a number
// cannot be: everything not finite is told apart by its bits.

const MOST_NOISE = 16.7;  // -log(-log(u)) of the largest u is 16.64
const NAN_BITS = 0x7fc00000u;

struct Job {
  number: i32,  // of the draw in the step
  slot: i32, position: i32, mask: i32,
  logits: u32, scores: u32, counts: u32,  // words of the arena
  tokens: u32,  // the draw's row of the output
  temperature: f32, top_k: u32, top_p: f32, min_p: f32, presence: f32, frequency: f32, repetition: f32,
  seed: vec2<u32>, choice: u32,
  logprobs: i32, prompt_length: i32, bias_count: i32,
}

var<workgroup> job_at_hand: Job;

fn draw_word(draw: u32, word: i32) -> i32 {
  return state[state[LAYOUT_DRAW] + i32(draw) * DRAW_WORDS + word];
}

fn setting(slot: i32, word: i32) -> i32 {
  return state[slot_at(slot, word)];
}

fn load_job(draw: u32) {
  let row = u32(draw_word(draw, DRAW_ROW));
  let slot = draw_word(draw, DRAW_SLOT);
  job_at_hand.number = i32(draw);
  job_at_hand.slot = slot;
  job_at_hand.position = draw_word(draw, DRAW_POSITION);
  job_at_hand.mask = draw_word(draw, DRAW_MASK);
  job_at_hand.logits = call.logits + row * vocab;
  job_at_hand.scores = call.scores + draw * vocab;
  job_at_hand.counts = call.counts + draw * vocab;
  job_at_hand.tokens = call.tokens + row;
  job_at_hand.temperature = bitcast<f32>(setting(slot, SLOT_TEMPERATURE));
  job_at_hand.top_k = u32(setting(slot, SLOT_TOP_K));
  job_at_hand.top_p = bitcast<f32>(setting(slot, SLOT_TOP_P));
  job_at_hand.min_p = bitcast<f32>(setting(slot, SLOT_MIN_P));
  job_at_hand.presence = bitcast<f32>(setting(slot, SLOT_PRESENCE));
  job_at_hand.frequency = bitcast<f32>(setting(slot, SLOT_FREQUENCY));
  job_at_hand.repetition = bitcast<f32>(setting(slot, SLOT_REPETITION));
  job_at_hand.seed = vec2<u32>(u32(setting(slot, SLOT_SEED_LOW)), u32(setting(slot, SLOT_SEED_HIGH)));
  job_at_hand.choice = u32(setting(slot, SLOT_CHOICE));
  job_at_hand.logprobs = setting(slot, SLOT_LOGPROBS);
  job_at_hand.prompt_length = setting(slot, SLOT_PROMPT_LENGTH);
  job_at_hand.bias_count = setting(slot, SLOT_BIAS_COUNT);
}

// Whether nothing but the best can be drawn: score / temperature overflows, or temperature is 0. (Subnormal
// temperatures may count as 0.)
fn is_certain(best: Candidate, temperature: f32) -> bool {
  return best.key >= KEY_MOST || temperature == 0.0 || abs(float_of(best.key)) > -LOWEST * min(temperature, 1.0);
}

// The lane's best after noise.
fn add_noise(job: Job, f: Filter, lane: u32) -> Candidate {
  var best = NOBODY;
  var most = LOWEST;
  for (var e = 0u; e < held; e++) {
    let bits = arena[f.scores + entry_at(e, lane)];
    let score = bitcast<f32>(bits);
    if (score + MOST_NOISE < most || (job.min_p > 0.0 && weight_of(f, bits) < job.min_p)) {
      continue;
    }
    let id = arena[f.ids + entry_at(e, lane)];
    let u = uniform_of(philox(vec4<u32>(u32(job.position), job.choice, id, 0u), job.seed));
    let total = score - log_accurate(-log_accurate(u));
    let candidate = Candidate(key_of(bitcast<u32>(total)), id);
    if (is_better(candidate, best)) {
      best = candidate;
      most = total;
    }
  }
  return best;
}

fn choose(job: Job, lane: u32) -> i32 {
  let own = score_tokens(job, lane);
  let best = best_of_lanes(own, lane);
  if (best.key <= KEY_LEAST) {
    return NO_NUMBER;
  }
  if (is_certain(best, job.temperature)) {
    return i32(best.id);
  }
  let highest = after_temperature(float_of(best.key), job.temperature);
  let top = Candidate(key_of(bitcast<u32>(highest)), best.id);
  let f = Filter(job.scores, job.counts, top, highest);
  var least = KEY_LEAST;
  if (job.top_k > 0u && job.top_k <= u32(LANES)) {
    least = common_key(own, job.top_k, lane);
  }
  collect(f, least, job.temperature, lane);
  if (job.top_k > 0u) {
    keep_top_k(f, job.top_k, lane);
  }
  if (job.top_p < 1.0) {
    keep_top_p(f, job.top_p, lane);
  }
  return i32(best_of_lanes(add_noise(job, f, lane), lane).id);
}

// The token goes into the slot's history and the output; rows of the output that draw nothing hold -1: a
// draw's workgroup writes those before it.
fn leave_token(job: Job, token: i32, lane: u32) {
  var first = call.tokens;
  if (job.number > 0) {
    first += u32(draw_word(u32(job.number) - 1u, DRAW_ROW)) + 1u;
  }
  for (var i = first + lane; i < job.tokens; i += u32(LANES)) {
    arena[i] = bitcast<u32>(NO_NUMBER);
  }
  if (lane == 0u) {
    arena[job.tokens] = bitcast<u32>(max(token, NO_NUMBER));
    if (token != NOTHING) {
      state[history_at(job.slot, job.position)] = max(token, 0);
    }
  }
}

// Rows behind the last draw's.
fn leave_rest(draws: u32, lane: u32) {
  var first = 0u;
  if (draws > 0u) {
    first = u32(draw_word(draws - 1u, DRAW_ROW)) + 1u;
  }
  for (var i = first + lane; i < u32(state[step_at(STEP_LOGIT_ROWS)]); i += u32(LANES)) {
    arena[call.tokens + i] = bitcast<u32>(NO_NUMBER);
  }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let draws = uniform_word(u32(state[step_at(STEP_DRAWS)]), lane);
  for (var draw = group.x; draw < draws; draw += groups.x) {
    if (lane == 0u) {
      load_job(draw);
    }
    let job = workgroupUniformLoad(&job_at_hand);
    var token = NOTHING;
    if (job.position != INACTIVE) {
      token = choose(job, lane);
    }
    leave_token(job, token, lane);
    report(job, token, lane);
    storageBarrier();
  }
  if (group.x == 0u) {
    leave_rest(draws, lane);
  }
}
