// SPDX-License-Identifier: BSD-3-Clause
// Linear layers for one block of points. Compiled once per instruction set (Google Highway's -inl.h
// convention).
#if defined(AMGSRN_MLP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AMGSRN_MLP_INL_H_
#undef AMGSRN_MLP_INL_H_
#else
#define AMGSRN_MLP_INL_H_
#endif

#include "block.h"

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace amgsrn
{
namespace HWY_NAMESPACE
{
namespace hn = hwy::HWY_NAMESPACE;

// A tile of the result is kept in registers: kRows outputs of kVectors vectors of points. There are 32
// registers of 16 floats, or 16 smaller ones.
constexpr int kRows = 4;
#if HWY_TARGET <= HWY_AVX3
constexpr int kVectors = 4;
#else
constexpr int kVectors = 2;
#endif

// Rows [row, row + Rows) of a layer: y = W x + b, optionally max(y, 0).
template <int Rows>
HWY_INLINE void LinearRows(const float* weights, const float* bias, const int row, const int inputs,
  const float* x, float* y, const bool relu)
{
  using D = hn::CappedTag<float, 16>;
  using V = hn::Vec<D>;
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  for (int offset = 0; offset < kBlock; offset += kVectors * lanes)
  {
    V sum[Rows][kVectors];
    for (int r = 0; r < Rows; ++r)
    {
      for (int v = 0; v < kVectors; ++v)
      {
        sum[r][v] = hn::Set(d, bias ? bias[row + r] : 0.0f);
      }
    }
    for (int k = 0; k < inputs; ++k)
    {
      V in[kVectors];
      for (int v = 0; v < kVectors; ++v)
      {
        in[v] = hn::Load(d, x + k * kBlock + offset + v * lanes);
      }
      for (int r = 0; r < Rows; ++r)
      {
        const V weight = hn::Set(d, weights[static_cast<std::size_t>(row + r) * inputs + k]);
        for (int v = 0; v < kVectors; ++v)
        {
          sum[r][v] = hn::MulAdd(weight, in[v], sum[r][v]);
        }
      }
    }
    for (int r = 0; r < Rows; ++r)
    {
      for (int v = 0; v < kVectors; ++v)
      {
        const V result = relu ? hn::Max(sum[r][v], hn::Zero(d)) : sum[r][v];
        hn::Store(result, d, y + (row + r) * kBlock + offset + v * lanes);
      }
    }
  }
}

// A layer for a block: x [inputs][kBlock] -> y [outputs][kBlock].
HWY_INLINE void Linear(const float* weights, const float* bias, const int outputs, const int inputs,
  const float* x, float* y, const bool relu)
{
  int row = 0;
  for (; row + kRows <= outputs; row += kRows)
  {
    LinearRows<kRows>(weights, bias, row, inputs, x, y, relu);
  }
  for (; row < outputs; ++row)
  {
    LinearRows<1>(weights, bias, row, inputs, x, y, relu);
  }
}

} // namespace HWY_NAMESPACE
} // namespace amgsrn
HWY_AFTER_NAMESPACE();
#endif
