// What codes of four bits mean: a table of 16 signed bytes, four in each word of `operand_table`.

// Of 16 codes, one a byte.
fn operand_meaning(codes: vec4<u32>) -> vec4<u32> {
  var meaning: vec4<u32>;
  for (var at = 0u; at < 32u; at += 8u) {
    let code = (codes >> vec4<u32>(at)) & vec4<u32>(15u);
    let odd = (code & vec4<u32>(4u)) != vec4<u32>();
    let lower = select(operand_table.xxxx, operand_table.yyyy, odd);
    let upper = select(operand_table.zzzz, operand_table.wwww, odd);
    let word = select(lower, upper, (code & vec4<u32>(8u)) != vec4<u32>());
    meaning |= ((word >> ((code & vec4<u32>(3u)) * 8u)) & vec4<u32>(255u)) << vec4<u32>(at);
  }
  return meaning;
}
