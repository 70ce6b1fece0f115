// The bodies of the packed kernels, over the vocabulary included before; the order matters.
// clang-format off
#include "kernels/body_prefetch.inl"
#include "kernels/body_packed_codes.inl"
#include "kernels/body_packed_scales.inl"
#include "kernels/body_packed_panels.inl"
#include "kernels/body_packed_quantize.inl"
#include "kernels/body_packed_sums.inl"
#include "kernels/body_packed_high.inl"
#include "kernels/body_packed_direct.inl"
#include "kernels/body_packed_many.inl"
#include "kernels/body_packed_gemm.inl"
#include "kernels/body_packed_unpack.inl"
// clang-format on

static_assert(kDirectTileRows <= kMostTileRows && kGemmTileRows <= kMostTileRows);
static_assert(kMostTileRows <= kMinPackedGemmRows);

// `floats` is of a unit of its own.
template <class Form = ByRows>
constexpr PackedKernels make_packed(const char* isa, PackedFloatFn floats,
                                    PackedProductFn int_scales = nullptr) {
  return {isa,
          {.rows = kDirectTileRows},
          {.rows = kGemmTileRows, .paired = kGemmPairedChunks},
          quantize,
          direct,
          gemm_packed<Form>,
          int_scales,
          unpack_panel,
          floats};
}
