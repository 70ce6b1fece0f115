// All kernel bodies, over the vocabulary included before; the order matters.
// clang-format off
#include "kernels/body_codes.inl"
#include "kernels/body_codes_legacy.inl"
#include "kernels/body_codes_k.inl"
#include "kernels/body_codes_codebook.inl"
#include "kernels/body_prefetch.inl"
#include "kernels/body_gemv.inl"
#include "kernels/body_gemm.inl"
#include "kernels/body_unpack.inl"
#include "kernels/body_decoded.inl"
#include "kernels/body_rows.inl"
#include "kernels/body_table.inl"
// clang-format on
