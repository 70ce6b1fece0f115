// The bodies of attention, and those of other kernels that they are made of, over a vocabulary
// included before; the order matters.
// clang-format off
#include "kernels/body_gemm.inl"
#include "kernels/body_rows.inl"
#include "kernels/body_attention_store.inl"
#include "kernels/body_attention_softmax.inl"
#include "kernels/body_attention.inl"
// clang-format on
