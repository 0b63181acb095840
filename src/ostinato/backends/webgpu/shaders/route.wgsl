// route: a workgroup per row turns its router logits into scores, in place, and takes the top_k best one by
// one.

// exp(logit - highest) / sum over the row's experts.
fn softmax_row(row: u32, lane: u32) {
  var own = LOWEST;
  for (var e = lane; e < experts; e += u32(LANES)) {
    own = max(own, float_at(row + e));
  }
  let highest = tree_max(own, lane);
  var sum = 0.0;
  for (var e = lane; e < experts; e += u32(LANES)) {
    let weight = exp_accurate(float_at(row + e) - highest);
    set_float(row + e, weight);
    sum += weight;
  }
  let total = tree_sum(sum, lane);
  for (var e = lane; e < experts; e += u32(LANES)) {
    set_float(row + e, float_at(row + e) / total);
  }
}

fn sigmoid_row(row: u32, lane: u32) {
  for (var e = lane; e < experts; e += u32(LANES)) {
    set_float(row + e, 1.0 / (1.0 + exp_accurate(-float_at(row + e))));
  }
}

// NaN stands behind every number, so that there are always top_k different experts.
fn take_best(row: u32, lane: u32) {
  let scores = call.logits + row * experts;
  let out = row * top_k;
  var best = FIRST;
  var sum = 0.0;
  for (var j = 0u; j < top_k; j++) {
    best = best_behind(best, scores, experts, lane);
    let weight = float_at(scores + best.id);
    sum += weight;
    if (lane == j % u32(LANES)) {
      arena[call.ids + out + j] = best.id;
      set_float(call.weights + out + j, weight);
    }
  }
  for (var j = lane; j < top_k; j += u32(LANES)) {
    let share = float_at(call.weights + out + j) / select(1.0, sum, normalise != 0u);
    set_float(call.weights + out + j, share * scale);
  }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let rows = uniform_word(row_count(), lane);
  for (var row = group.x; row < rows; row += groups.x) {
    if (scoring == u32(SCORING_SOFTMAX)) {
      softmax_row(call.logits + row * experts, lane);
    } else {
      sigmoid_row(call.logits + row * experts, lane);
    }
    storageBarrier();
    take_best(row, lane);
  }
}
