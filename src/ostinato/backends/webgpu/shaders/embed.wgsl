// embed: an invocation per element. Rows whose token stands in another part of the table are left alone.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  for (var i = id.x; i < u32(step_rows()) * width; i += groups.x * u32(LANES)) {
    let entry = u32(row_token(i / width)) - call.first;  // of an earlier part: it wraps around, beyond every count
    if (entry < call.count) {
      set_float(call.out + i, table_element(entry, i % width));
    }
  }
}
