// F32, F16, BF16: one value a block. The encoder's limit keeps what would become infinite away.

int encode_f32(const float* x, int blocks, uint8_t* out) {
  std::memcpy(out, x, sizeof(float) * static_cast<size_t>(blocks));
  return blocks;
}

int encode_f16(const float* x, int blocks, uint8_t* out) {
  for (int i = 0; i < blocks; ++i) store_half(to_half(x[i]), out + 2 * i);
  return blocks;
}

int encode_bf16(const float* x, int blocks, uint8_t* out) {
  for (int i = 0; i < blocks; ++i) store_half(to_bfloat(x[i]), out + 2 * i);
  return blocks;
}
