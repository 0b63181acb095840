// How a product of a weight and activations is cut: a workgroup of 64 lanes takes a tile of weight rows and up to 32
// activation rows, four at a time. Lane l holds the sums of weight row l / 4 and activation row l % 4 of each four.
// The cut follows from `columns` alone; no sum depends on it.

const TILE_LANES = 64u;
const TILE_ROWS = 32u;  // activation rows
const TILE_STEPS = 8u;  // of four rows

// Chunks of one weight row that stand side by side: a power of two from 16 to 64.
fn chunk_lanes() -> u32 {
  return clamp(1u << (32u - countLeadingZeros(max(columns / 32u, 1u) - 1u)), 16u, TILE_LANES);
}

// Weight rows of a tile: four times as many as stand side by side.
fn tile_weights() -> u32 {
  return 4u * TILE_LANES / chunk_lanes();
}
