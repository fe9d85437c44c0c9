// SPDX-License-Identifier: BSD-3-Clause
// A network's values for one block of points. Compiled once per instruction set (Google Highway's -inl.h
// convention).
#if defined(AMGSRN_INFER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AMGSRN_INFER_INL_H_
#undef AMGSRN_INFER_INL_H_
#else
#define AMGSRN_INFER_INL_H_
#endif

#include "amgsrn_kernels.h"
#include "block.h"
#include "encode-inl.h"
#include "mlp-bf16-inl.h"
#include "mlp-inl.h"

#include <hwy/highway.h>

#include <utility>

HWY_BEFORE_NAMESPACE();
namespace amgsrn
{
namespace HWY_NAMESPACE
{

// The MLP's layers from `first` on: their inputs [..][kBlock] in `x` -> values [outputs][kBlock]; returns
// where those are, `x` or `y`.
HWY_INLINE const float* FloatLayers(const amgsrn_network& net, const int first, float* x, float* y)
{
  int inputs = first == 0 ? net.grids * net.channels : net.outputs[first - 1];
  for (int layer = first; layer < net.layers; ++layer)
  {
    Linear(net.weights[layer], net.biases[layer], net.outputs[layer], inputs, x, y, layer + 1 < net.layers);
    inputs = net.outputs[layer];
    std::swap(x, y);
  }
  return x;
}

// Values [outputs][kBlock] of the points [3][kBlock]; returns where those are. `scratch` is three arrays of
// [WidestRow(net)][kBlock]. `bf16` is null for float32.
HWY_INLINE const float* InferBlock(const amgsrn_network& net, [[maybe_unused]] const Bf16Weights* bf16,
  const float* points, float* const scratch[3])
{
  Encode(net, points, scratch[0]);
  int first_float_layer = 0;
#if AMGSRN_TARGET_HAS_BF16
  if (bf16)
  {
    Bf16HiddenLayers(net, *bf16, scratch[0], reinterpret_cast<std::uint32_t*>(scratch[1]),
      reinterpret_cast<std::uint32_t*>(scratch[2]));
    first_float_layer = net.layers - 1;
  }
#endif
  return FloatLayers(net, first_float_layer, scratch[0], scratch[1]);
}

} // namespace HWY_NAMESPACE
} // namespace amgsrn
HWY_AFTER_NAMESPACE();
#endif
