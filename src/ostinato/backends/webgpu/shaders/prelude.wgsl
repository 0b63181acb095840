// What every shader stands on: the buffers, floats in the arena, and the rows of the step as StepState has them.

@group(0) @binding(0) var<storage, read_write> arena: array<u32>;
@group(0) @binding(1) var<storage, read_write> state: array<i32>;
@group(0) @binding(6) var<storage, read_write> kv: array<u32>;
@group(0) @binding(7) var<storage, read> packet: array<i32>;
@group(0) @binding(8) var<storage, read_write> result: array<u32>;

const LANES: i32 = 256;  // invocations of a workgroup, where a shader does not say otherwise

fn float_at(word: u32) -> f32 {
  return bitcast<f32>(arena[word]);
}

fn set_float(word: u32, x: f32) {
  arena[word] = bitcast<u32>(x);
}

fn step_at(word: i32) -> i32 {
  return LAYOUT_WORDS + word;
}

// T of the step.
fn step_rows() -> i32 {
  return state[step_at(STEP_ROWS)];
}

fn row_slot(row: u32) -> i32 {
  return state[state[LAYOUT_ROW_SLOT] + i32(row)];
}

// Position of a row of T, or INACTIVE.
fn row_position(row: u32) -> i32 {
  return state[state[LAYOUT_ROW_POSITION] + i32(row)];
}

fn row_token(row: u32) -> i32 {
  return state[state[LAYOUT_ROW_TOKEN] + i32(row)];
}

var<workgroup> common_word: u32;

// The word of lane 0, in all lanes: uniform. Begins and ends with a barrier.
fn uniform_word(own: u32, lane: u32) -> u32 {
  workgroupBarrier();
  if (lane == 0u) {
    common_word = own;
  }
  return workgroupUniformLoad(&common_word);
}
