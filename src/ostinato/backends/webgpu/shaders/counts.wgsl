// Rows of a value of shape (axis, factor): factor x T or factor x R, prompt rows first.

fn row_count() -> u32 {
  let rows = select(state[step_at(STEP_ROWS)], state[step_at(STEP_LOGIT_ROWS)], axis == u32(AXIS_R));
  return factor * u32(rows);
}

fn prompt_row_count() -> u32 {
  let rows = select(state[step_at(STEP_PROMPT_ROWS)], state[step_at(STEP_PROMPT_LOGIT_ROWS)], axis == u32(AXIS_R));
  return factor * u32(rows);
}
