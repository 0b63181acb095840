// Which rows of attention are divided into splits that run side by side.

// Generated rows, where there are no more of them than the scratch has room for: the last so many of T.
fn divided_rows() -> i32 {
  let generated = state[step_at(STEP_ROWS)] - state[step_at(STEP_PROMPT_ROWS)];
  return select(0, generated, generated <= state[LAYOUT_MAX_SEQUENCES]);
}

// Splits of a row at `position`.
fn splits(position: i32) -> i32 {
  return position / ATTEND_SPLIT + 1;
}
