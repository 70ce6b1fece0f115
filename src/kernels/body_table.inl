// The table of this instruction set; last of the bodies.

constexpr KernelTable make_table(const char* isa) {
  KernelTable table = {};
  table.isa = isa;
  const auto set = [&](Grid grid, GemvFn gemv_fn, UnpackFn unpack_fn) {
    table.gemv[static_cast<int>(grid)] = gemv_fn;
    table.unpack[static_cast<int>(grid)] = unpack_fn;
  };
  set(Grid::f32, gemv<F32Codes>, unpack<F32Codes>);
  set(Grid::f16, gemv<F16Codes>, unpack<F16Codes>);
  set(Grid::bf16, gemv<Bf16Codes>, unpack<Bf16Codes>);
  set(Grid::q4_1, gemv<Q4_1Codes>, unpack<Q4_1Codes>);
  set(Grid::q8_0, gemv<Q8_0Codes>, unpack<Q8_0Codes>);
  table.gemm = gemm;
  table.rms_norm = rms_norm;
  table.layer_norm = layer_norm;
  table.add = add_row;
  table.silu_mul = silu_mul;
  table.gelu_tanh = gelu_tanh;
  table.gelu_tanh_mul = gelu_tanh_mul;
  table.softcap = softcap;
  table.rope = rope;
  table.softmax_block = softmax_block;
  table.scale = scale_row;
  return table;
}
