// pack: activations as int8, by the rules of native/cpu/sums.md to the bit. A workgroup per 256 columns of a row, four
// columns a lane. Whether floats are finite is asked of their bits: compilers may take all to be. Needs divide.wgsl.

const PACK_LANES = 64u;
const INFINITE = 0x7f800000u;
const NAN_BITS = 0x7fc00000u;
const LEAST = 7u << 23u;  // 2^-120

var<workgroup> largest: array<u32, PACK_LANES>;  // bits of magnitudes, which order as integers do
var<workgroup> totals: array<i32, PACK_LANES>;

// The largest of the group that the lane belongs to, by halving. Begins and ends with a barrier.
fn largest_of_group(own: u32, lane: u32) -> u32 {
  workgroupBarrier();
  largest[lane] = own;
  let lanes = group / 4u;
  for (var reach = lanes / 2u; reach > 0u; reach /= 2u) {
    workgroupBarrier();
    if (lane % lanes < reach) {
      largest[lane] = max(largest[lane], largest[lane + reach]);
    }
  }
  workgroupBarrier();
  return largest[lane / lanes * lanes];
}

// 127 / largest, or 0 where all quants are 0.
fn inverse_of(top: u32) -> f32 {
  if (top < LEAST || top >= INFINITE) {
    return 0.0;
  }
  return divide_exactly(127.0, bitcast<f32>(top));
}

fn scale_bits(top: u32) -> u32 {
  if (top >= INFINITE) {
    return NAN_BITS;
  }
  if (top < LEAST) {
    return 0u;
  }
  return bitcast<u32>(divide_exactly(bitcast<f32>(top), 127.0));
}

// round(x inverse). A subnormal x, which an adapter may take for zero, is an integer times 2^-149.
fn quantised(bits: u32, inverse: f32) -> i32 {
  let size = bits & 0x7fffffffu;
  var x = bitcast<f32>(size);
  var factor = inverse;
  if (size < 0x00800000u) {
    x = f32(size);
    let power = bitcast<u32>(inverse);
    factor = bitcast<f32>(select(0u, power - (149u << 23u), power >= (150u << 23u)));
  }
  let q = i32(round(x * factor));
  return select(q, -q, bits >> 31u == 1u);
}

// Four values as bytes; not-a-number and infinities, whose group has no inverse, as 0.
fn quantise_four(bits: vec4<u32>, inverse: f32) -> vec4<i32> {
  if (inverse == 0.0) {
    return vec4<i32>();
  }
  return vec4<i32>(quantised(bits.x, inverse), quantised(bits.y, inverse), quantised(bits.z, inverse),
                   quantised(bits.w, inverse));
}

fn sum_of_16(lane: u32) -> i32 {
  return totals[lane] + totals[lane + 1u] + totals[lane + 2u] + totals[lane + 3u];
}

fn pack_part(row: u32, part: u32, lane: u32) {
  let column = part * 256u + lane * 4u;
  let valid = column < width;
  var bits = vec4<u32>();
  if (valid) {
    let at = call.x + row * width + column;
    bits = vec4<u32>(arena[at], arena[at + 1u], arena[at + 2u], arena[at + 3u]);
  }
  let sizes = bits & vec4<u32>(0x7fffffffu);
  let top = largest_of_group(max(max(sizes.x, sizes.y), max(sizes.z, sizes.w)), lane);
  let q = quantise_four(bits, inverse_of(top));
  totals[lane] = q.x + q.y + q.z + q.w;
  workgroupBarrier();
  if (!valid) {
    return;
  }
  let out = call.out + row * ((width / 4u + width / 32u + width / group + 3u) / 4u * 4u);
  let bytes = (bitcast<vec4<u32>>(q) & vec4<u32>(255u)) << vec4<u32>(0u, 8u, 16u, 24u);
  arena[out + column / 4u] = bytes.x | bytes.y | bytes.z | bytes.w;
  if (lane % 8u == 0u) {
    let sums = (sum_of_16(lane) & 0xffff) | (sum_of_16(lane + 4u) << 16u);
    arena[out + width / 4u + column / 32u] = bitcast<u32>(sums);
  }
  if (column % group == 0u) {
    arena[out + width / 4u + width / 32u + column / group] = scale_bits(top);
  }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let parts = (width + 255u) / 256u;
  let items = uniform_word(row_count(), lane) * parts;
  for (var item = id.x; item < items; item += groups.x) {
    pack_part(item / parts, item % parts, lane);
  }
}
