// SPDX-License-Identifier: BSD-3-Clause
// Gradients of linear layers and of grid interpolation for one block of points. Compiled once per instruction
// set.
#if defined(AMGSRN_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AMGSRN_BACKWARD_INL_H_
#undef AMGSRN_BACKWARD_INL_H_
#else
#define AMGSRN_BACKWARD_INL_H_
#endif

#include "encode-inl.h"
#include "mlp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace amgsrn
{
namespace HWY_NAMESPACE
{

// [rows][kBlock] -> [kBlock][stride], stride >= rows.
HWY_INLINE void Transpose(const float* block, const int rows, float* points, const int stride)
{
  constexpr int kTile = 8; // a cache line of each side
  for (int first = 0; first < rows; first += kTile)
  {
    const int end = HWY_MIN(rows, first + kTile);
    for (int p = 0; p < kBlock; ++p)
    {
      for (int row = first; row < end; ++row)
      {
        points[p * stride + row] = block[row * kBlock + p];
      }
    }
  }
}

// Rows [row, row + Rows) of the gradient of a layer's weights: gradient[j][k] += sum over points of dy[j][p]
// x[p][k].
template <int Rows>
HWY_INLINE void WeightGradientRows(
  const float* dy, const int row, const float* x, const int stride, const int inputs, float* gradient)
{
  using D = hn::CappedTag<float, 16>;
  using V = hn::Vec<D>;
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  for (int first = 0; first < inputs; first += kVectors * lanes)
  {
    V sum[Rows][kVectors];
    for (int r = 0; r < Rows; ++r)
    {
      for (int v = 0; v < kVectors; ++v)
      {
        sum[r][v] = hn::Zero(d);
      }
    }
    for (int p = 0; p < kBlock; ++p)
    {
      V in[kVectors];
      for (int v = 0; v < kVectors; ++v)
      {
        in[v] = hn::Load(d, x + p * stride + first + v * lanes);
      }
      for (int r = 0; r < Rows; ++r)
      {
        const V slope = hn::Set(d, dy[(row + r) * kBlock + p]);
        for (int v = 0; v < kVectors; ++v)
        {
          sum[r][v] = hn::MulAdd(slope, in[v], sum[r][v]);
        }
      }
    }
    for (int r = 0; r < Rows; ++r)
    {
      for (int v = 0; v < kVectors; ++v)
      {
        float* target = gradient + (row + r) * stride + first + v * lanes;
        hn::Store(hn::Add(hn::Load(d, target), sum[r][v]), d, target);
      }
    }
  }
}

// gradient [outputs][stride] += dy [outputs][kBlock] times x [kBlock][stride]; stride is a multiple of
// kVectors vectors.
HWY_INLINE void WeightGradient(
  const float* dy, const int outputs, const float* x, const int stride, const int inputs, float* gradient)
{
  int row = 0;
  for (; row + kRows <= outputs; row += kRows)
  {
    WeightGradientRows<kRows>(dy, row, x, stride, inputs, gradient);
  }
  for (; row < outputs; ++row)
  {
    WeightGradientRows<1>(dy, row, x, stride, inputs, gradient);
  }
}

// dx = 0 where the layer's output x was cut off by max(x, 0).
HWY_INLINE void ReluGradient(const float* x, const int rows, float* dx)
{
  const Floats d;
  for (int i = 0; i < rows * kBlock; i += static_cast<int>(hn::Lanes(d)))
  {
    const auto passed = hn::Gt(hn::Load(d, x + i), hn::Zero(d));
    hn::Store(hn::IfThenElseZero(passed, hn::Load(d, dx + i)), d, dx + i);
  }
}

// What a grid's nodes and its transform gain from one block: adds into `nodes` (laid out as the network's
// features, of one grid) and, if not null, `transform` [3][4].
HWY_INLINE void GridGradient(const amgsrn_network& net, const int grid, const float* points,
  const float* slopes, float* nodes, float* transform)
{
  const Floats d;
  const Ints di;
  const Strides strides(net);
  const int lanes = static_cast<int>(hn::Lanes(d));
  const int edges[4] = { 0, strides.y, strides.z, strides.y + strides.z };
  const float* features = net.features + grid * strides.grid;
  FloatVector sums[12];
  for (FloatVector& sum : sums)
  {
    sum = hn::Zero(d);
  }
  for (int offset = 0; offset < kBlock; offset += lanes)
  {
    const Cell cell = FindCell(net, strides, net.transforms + 12 * grid, points, offset);
    if (hn::AllFalse(d, cell.inside))
    {
      continue;
    }
    const FloatVector one = hn::Set(d, 1.0f);
    const FloatVector left_y = hn::Sub(one, cell.right[1]), left_z = hn::Sub(one, cell.right[2]);
    const FloatVector weights[4] = { hn::Mul(left_y, left_z), hn::Mul(cell.right[1], left_z),
      hn::Mul(left_y, cell.right[2]), hn::Mul(cell.right[1], cell.right[2]) };
    HWY_ALIGN std::int32_t node[16];
    hn::Store(cell.node, di, node);
    FloatVector by_x = hn::Zero(d), by_y = hn::Zero(d), by_z = hn::Zero(d);
    for (int channel = 0; channel < net.channels; ++channel)
    {
      const FloatVector slope = hn::IfThenElseZero(
        cell.inside, hn::Load(d, slopes + (grid * net.channels + channel) * kBlock + offset));
      HWY_ALIGN float left[4][16], right[4][16];
      for (int edge = 0; edge < 4; ++edge)
      {
        const FloatVector share = hn::Mul(slope, weights[edge]);
        const FloatVector on_right = hn::Mul(share, cell.right[0]);
        hn::Store(hn::Sub(share, on_right), d, left[edge]);
        hn::Store(on_right, d, right[edge]);
      }
      // Several points of a vector may share a node, so this cannot be a vector scatter.
      for (int lane = 0; lane < lanes; ++lane)
      {
        float* target = nodes + node[lane] + channel;
        for (int edge = 0; edge < 4; ++edge)
        {
          target[edges[edge]] += left[edge][lane];
          target[edges[edge] + strides.x] += right[edge][lane];
        }
      }
      if (transform)
      {
        FloatVector low[4], high[4];
        for (int edge = 0; edge < 4; ++edge)
        {
          low[edge] = hn::GatherIndex(d, features + channel + edges[edge], cell.node);
          high[edge] = hn::GatherIndex(d, features + channel + edges[edge] + strides.x, cell.node);
        }
        FloatVector along_x = hn::Zero(d), line[4];
        for (int edge = 0; edge < 4; ++edge)
        {
          const FloatVector rise = hn::Sub(high[edge], low[edge]);
          along_x = hn::MulAdd(rise, weights[edge], along_x);
          line[edge] = hn::MulAdd(rise, cell.right[0], low[edge]);
        }
        const FloatVector along_y =
          hn::MulAdd(hn::Sub(line[1], line[0]), left_z, hn::Mul(hn::Sub(line[3], line[2]), cell.right[2]));
        const FloatVector along_z =
          hn::MulAdd(hn::Sub(line[2], line[0]), left_y, hn::Mul(hn::Sub(line[3], line[1]), cell.right[1]));
        by_x = hn::MulAdd(slope, along_x, by_x);
        by_y = hn::MulAdd(slope, along_y, by_y);
        by_z = hn::MulAdd(slope, along_z, by_z);
      }
    }
    if (transform)
    {
      const FloatVector by_axis[3] = { hn::Mul(by_x, hn::Set(d, 0.5f * (net.width - 1))),
        hn::Mul(by_y, hn::Set(d, 0.5f * (net.height - 1))),
        hn::Mul(by_z, hn::Set(d, 0.5f * (net.depth - 1))) };
      for (int axis = 0; axis < 3; ++axis)
      {
        for (int k = 0; k < 3; ++k)
        {
          sums[4 * axis + k] =
            hn::MulAdd(by_axis[axis], hn::Load(d, points + k * kBlock + offset), sums[4 * axis + k]);
        }
        sums[4 * axis + 3] = hn::Add(sums[4 * axis + 3], by_axis[axis]);
      }
    }
  }
  if (transform)
  {
    for (int i = 0; i < 12; ++i)
    {
      transform[i] += hn::GetLane(hn::SumOfLanes(d, sums[i]));
    }
  }
}

} // namespace HWY_NAMESPACE
} // namespace amgsrn
HWY_AFTER_NAMESPACE();
#endif
