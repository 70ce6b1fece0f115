// The table of this instruction set; last of the bodies.

// First every grid decodes before it multiplies; make_table() then gives those with a reader
// theirs.
template <int index>
constexpr void set_decoded(KernelTable& table) {
  if constexpr (index < kGridCount) {
    table.gemv[index] = gemv_of_grid<static_cast<Grid>(index)>;
    table.unpack[index] = unpack_of_grid<static_cast<Grid>(index)>;
    set_decoded<index + 1>(table);
  }
}

template <class Codes>
constexpr void set_codes(KernelTable& table, Grid grid) {
  table.gemv[static_cast<int>(grid)] = gemv<Codes>;
  table.unpack[static_cast<int>(grid)] = unpack<Codes>;
}

constexpr KernelTable make_table(const char* isa, const AttentionKernels* attention) {
  KernelTable table = {};
  table.isa = isa;
  table.attention = attention;
  set_decoded<0>(table);
  set_codes<F32Codes>(table, Grid::f32);
  set_codes<F16Codes>(table, Grid::f16);
  set_codes<Bf16Codes>(table, Grid::bf16);
  set_codes<Q4_0Codes>(table, Grid::q4_0);
  set_codes<Q4_1Codes>(table, Grid::q4_1);
  set_codes<Q5_0Codes>(table, Grid::q5_0);
  set_codes<Q5_1Codes>(table, Grid::q5_1);
  set_codes<Q8_0Codes>(table, Grid::q8_0);
  set_codes<Q2KCodes>(table, Grid::q2_k);
  set_codes<Q3KCodes>(table, Grid::q3_k);
  set_codes<Q4KCodes>(table, Grid::q4_k);
  set_codes<Q5KCodes>(table, Grid::q5_k);
  set_codes<Q6KCodes>(table, Grid::q6_k);
  set_codes<Iq4NlCodes>(table, Grid::iq4_nl);
  set_codes<Iq4XsCodes>(table, Grid::iq4_xs);
  set_codes<Mxfp4Codes>(table, Grid::mxfp4);
  set_codes<Tq2Codes>(table, Grid::tq2_0);
  table.gemv_affine = gemv_affine;
  table.unpack_affine = unpack_affine;
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
