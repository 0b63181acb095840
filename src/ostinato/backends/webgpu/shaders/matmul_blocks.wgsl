// Products of a quantised weight and packed activations, as native/cpu/sums.md shapes them: integers within a block,
// exact in any order, then one float term a block, added in the order of the blocks.
//
// A sweep goes over the chunks that stand side by side: each lane unpacks one chunk of four weight rows and multiplies
// it with every activation row of the tile. Needs chunk.wgsl, tiles.wgsl, a dot4 and the phase's source_row.

fn operand_packed_words() -> u32 {
  return (columns / 4u + columns / 32u + columns / (32u * operand_span) + 3u) / 4u * 4u;
}

// Zeros beyond the row's end.
fn operand_read(row: u32, chunk: u32) -> Chunk {
  if (chunk >= columns / 32u) {
    return Chunk();
  }
  return operand_chunk(row, chunk);
}

// sums[i]: weight row first + lane / 4 times activation row start + 4 i + lane % 4, for the first `count` and `rows` of
// them. All but `lane` must be uniform.
fn operand_products(x: u32, first: u32, count: u32, start: u32, rows: u32, lane: u32) -> array<f32, TILE_STEPS> {
  var sums: array<f32, TILE_STEPS>;
  let wide = chunk_lanes();
  let own = lane / wide;
  let apart = TILE_LANES / wide;
  for (var sweep = 0u; sweep < columns / 32u; sweep += wide) {
    let chunk = sweep + lane % wide;
    let w0 = operand_read(first + min(own, count - 1u), chunk);
    let w1 = operand_read(first + min(own + apart, count - 1u), chunk);
    let w2 = operand_read(first + min(own + 2u * apart, count - 1u), chunk);
    let w3 = operand_read(first + min(own + 3u * apart, count - 1u), chunk);
    for (var i = 0u; i * 4u < rows; i++) {
      let last = min(rows - i * 4u, 4u);
      for (var r = 0u; r < last; r++) {
        let a = operand_activation(x, start + i * 4u + r, min(chunk, columns / 32u - 1u));
        let at = (own * 4u + r) * wide + lane % wide;
        parts[at] = multiply_chunk(w0, a);
        parts[at + TILE_LANES * 4u] = multiply_chunk(w1, a);
        parts[at + TILE_LANES * 8u] = multiply_chunk(w2, a);
        parts[at + TILE_LANES * 12u] = multiply_chunk(w3, a);
      }
      workgroupBarrier();
      operand_make_terms(x, first, count, start + i * 4u, last, sweep, lane);
      workgroupBarrier();
      sums[i] = operand_add_terms(sums[i], sweep, lane);
      workgroupBarrier();
    }
  }
  return sums;
}

fn operand_activation(x: u32, row: u32, chunk: u32) -> Activations {
  let at = x + source_row(row) * operand_packed_words();
  let q = at + chunk * 8u;
  let both = bitcast<i32>(arena[at + columns / 4u + chunk]);
  return Activations(vec4<u32>(arena[q], arena[q + 1u], arena[q + 2u], arena[q + 3u]),
                     vec4<u32>(arena[q + 4u], arena[q + 5u], arena[q + 6u], arena[q + 7u]),
                     vec2<i32>(extractBits(both, 0u, 16u), extractBits(both, 16u, 16u)));
}

// The parts of every block become the factors of its float term, in the place of the first part.
fn operand_make_terms(x: u32, first: u32, count: u32, start: u32, rows: u32, sweep: u32, lane: u32) {
  let blocks = chunk_lanes() / operand_span;
  for (var e = lane; e < TILE_LANES * 16u / operand_span; e += TILE_LANES) {
    let block = sweep / operand_span + e % blocks;
    let r = e / blocks % 4u;
    let w = e / blocks / 4u;
    if (r < rows && w < count && block < columns / (32u * operand_span)) {
      var total = vec2<i32>();
      for (var i = 0u; i < operand_span; i++) {
        total += bitcast<vec2<i32>>(parts[e * operand_span + (e + i) % operand_span]);  // turned: fewer bank conflicts
      }
      let scales = x + source_row(start + r) * operand_packed_words() + columns / 4u + columns / 32u;
      let term = operand_term(operand_scales(first + w, block), float_at(scales + block), vec2<f32>(total));
      parts[e * operand_span] = bitcast<vec2<u32>>(term);
    }
  }
}

// Two factors. `unit` is d and dmin, `scale` the activations', `total` the integers with scales and with mins.
fn operand_term(unit: vec2<f32>, scale: f32, total: vec2<f32>) -> vec2<f32> {
  if (operand_span == 1u && !operand_minima) {
    return vec2<f32>(unit.x * scale, total.x);
  }
  return vec2<f32>(scale, fma(unit.x, total.x, -(unit.y * total.y)));
}

fn operand_add_terms(before: f32, sweep: u32, lane: u32) -> f32 {
  var sum = before;
  if (lane < tile_weights() * 4u) {
    let end = min(chunk_lanes(), columns / 32u - sweep);
    for (var c = 0u; c < end; c += operand_span) {
      let term = bitcast<vec2<f32>>(parts[lane * chunk_lanes() + c]);
      sum = fma(term.x, term.y, sum);
    }
  }
  return sum;
}
