// Softmax over pieces: each is a maximum, the sum of exp(score - maximum), and values weighted alike. The
// whole-row and the divided path of attention add pieces by these functions, so they give the same bits.

struct Piece {
  highest: f32,
  sum: f32,
  value: f32,  // one element
}

fn no_piece() -> Piece {
  return Piece(LOWEST, 0.0, 0.0);
}

fn merged(a: Piece, b: Piece) -> Piece {
  let highest = max(a.highest, b.highest);
  let of_a = exp_accurate(a.highest - highest);
  let of_b = exp_accurate(b.highest - highest);
  return Piece(highest, fma(a.sum, of_a, b.sum * of_b), fma(a.value, of_a, b.value * of_b));
}

fn normalised(a: Piece) -> f32 {
  return a.value / a.sum;
}
