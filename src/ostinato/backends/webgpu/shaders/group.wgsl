// group: a stable counting sort of the assignments by (kind, expert). A workgroup per bucket finds where its
// members begin and lists them; a lane looks at consecutive assignments.

fn bucket_of(assignment: u32) -> u32 {
  let kind = select(0u, 1u, assignment / top_k >= prompt_row_count());
  return kind * experts + arena[call.ids + assignment];
}

fn sort_bucket(bucket: u32, assignments: u32, lane: u32) {
  let share = (assignments + u32(LANES) - 1u) / u32(LANES);
  let first = min(lane * share, assignments);
  let last = min(first + share, assignments);
  var below = 0;
  var members = 0;
  for (var a = first; a < last; a++) {
    below += i32(bucket_of(a) < bucket);
    members += i32(bucket_of(a) == bucket);
  }
  scan(i32(lane), vec4<i32>(below, members, 0, 0));
  let start = scanned[LANES - 1].x;
  var at = u32(start + scanned[lane].y - members);
  for (var a = first; a < last; a++) {
    if (bucket_of(a) == bucket) {
      arena[call.order + at] = a;
      at++;
    }
  }
  if (lane == 0u) {
    arena[call.offsets + bucket] = u32(start);
    if (bucket == 2u * experts - 1u) {
      arena[call.offsets + 2u * experts] = assignments;
    }
  }
  workgroupBarrier();
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let assignments = uniform_word(row_count() * top_k, lane);
  for (var bucket = group.x; bucket < 2u * experts; bucket += groups.x) {
    sort_bucket(bucket, assignments, lane);
  }
}
