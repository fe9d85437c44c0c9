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

// A cell's interpolation weights along the four edges in x; zero for points outside the grid.
HWY_INLINE void EdgeWeights(const Cell& cell, FloatVector weights[4])
{
  const Floats d;
  const FloatVector one = hn::Set(d, 1.0f);
  const FloatVector left_y = hn::Sub(one, cell.right[1]);
  const FloatVector left_z = hn::IfThenElseZero(cell.inside, hn::Sub(one, cell.right[2]));
  const FloatVector right_z = hn::IfThenElseZero(cell.inside, cell.right[2]);
  weights[0] = hn::Mul(left_y, left_z);
  weights[1] = hn::Mul(cell.right[1], left_z);
  weights[2] = hn::Mul(left_y, right_z);
  weights[3] = hn::Mul(cell.right[1], right_z);
}

// Several points of a vector may share a node, so adding to nodes goes point by point, never as a vector
// scatter. Adds one channel's slopes to the nodes of the cells.
HWY_INLINE void AddToNodes(
  const Cell& cell, const Strides& strides, const FloatVector weights[4], const float* slopes, float* channel)
{
  const Floats d;
  const Ints di;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const int edges[4] = { 0, strides.y, strides.z, strides.y + strides.z };
  HWY_ALIGN std::int32_t node[16];
  HWY_ALIGN float left[4][16], right[4][16];
  hn::Store(cell.node, di, node);
  for (int edge = 0; edge < 4; ++edge)
  {
    const FloatVector share = hn::Mul(hn::Load(d, slopes), weights[edge]);
    const FloatVector on_right = hn::Mul(share, cell.right[0]);
    hn::Store(hn::Sub(share, on_right), d, left[edge]);
    hn::Store(on_right, d, right[edge]);
  }
  for (int lane = 0; lane < lanes; ++lane)
  {
    float* target = channel + node[lane];
    for (int edge = 0; edge < 4; ++edge)
    {
      target[edges[edge]] += left[edge][lane];
      target[edges[edge] + strides.x] += right[edge][lane];
    }
  }
}

#if HWY_TARGET != HWY_SCALAR

// The same for grids of one channel: left and right node are neighbours in memory and are added to at once.
HWY_INLINE void AddToPairs(
  const Cell& cell, const Strides& strides, const FloatVector weights[4], const float* slopes, float* nodes)
{
  const Floats d;
  const Ints di;
  const hn::FixedTag<float, 2> two;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const int edges[4] = { 0, strides.y, strides.z, strides.y + strides.z };
  HWY_ALIGN std::int32_t node[16];
  HWY_ALIGN float pairs[4][32];
  hn::Store(cell.node, di, node);
  for (int edge = 0; edge < 4; ++edge)
  {
    const FloatVector share = hn::Mul(hn::Load(d, slopes), weights[edge]);
    const FloatVector on_right = hn::Mul(share, cell.right[0]);
    hn::StoreInterleaved2(hn::Sub(share, on_right), on_right, d, pairs[edge]);
  }
  for (int lane = 0; lane < lanes; ++lane)
  {
    for (int edge = 0; edge < 4; ++edge)
    {
      float* target = nodes + node[lane] + edges[edge];
      hn::StoreU(hn::Add(hn::LoadU(two, target), hn::Load(two, pairs[edge] + 2 * lane)), two, target);
    }
  }
}

// The same for all channels of grids that have two or four.
template <int Channels>
HWY_INLINE void AddToChannels(
  const Cell& cell, const Strides& strides, const FloatVector weights[4], const float* slopes, float* nodes)
{
  static_assert(Channels == 2 || Channels == 4, "four floats are two nodes of two channels, or one of four");
  const Floats d;
  const Ints di;
  const hn::FixedTag<float, 4> four;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const int edges[4] = { 0, strides.y, strides.z, strides.y + strides.z };
  HWY_ALIGN std::int32_t node[16];
  HWY_ALIGN float weight[4][16], right[16];
  hn::Store(cell.node, di, node);
  hn::Store(cell.right[0], d, right);
  for (int edge = 0; edge < 4; ++edge)
  {
    hn::Store(weights[edge], d, weight[edge]);
  }
  for (int lane = 0; lane < lanes; ++lane)
  {
    float* first = nodes + node[lane];
    HWY_ALIGN float left_shares[4], right_shares[4];
    for (int channel = 0; channel < Channels; ++channel)
    {
      const float slope = slopes[channel * kBlock + lane];
      const float on_right = slope * right[lane];
      left_shares[channel] = slope - on_right;
      (Channels == 2 ? left_shares + 2 : right_shares)[channel] = on_right;
    }
    const auto left = hn::Load(four, left_shares);
    for (int edge = 0; edge < 4; ++edge)
    {
      float* target = first + edges[edge];
      const auto factor = hn::Set(four, weight[edge][lane]);
      hn::StoreU(hn::MulAdd(left, factor, hn::LoadU(four, target)), four, target);
      if (Channels == 4)
      {
        const auto on_right = hn::MulAdd(hn::Load(four, right_shares), factor, hn::LoadU(four, target + 4));
        hn::StoreU(on_right, four, target + 4);
      }
    }
  }
}

#endif

// Adds all channels' slopes [channels][kBlock] to the nodes of the cells.
HWY_INLINE void AddToGrid(const amgsrn_network& net, const Cell& cell, const Strides& strides,
  const FloatVector weights[4], const float* slopes, float* nodes)
{
#if HWY_TARGET != HWY_SCALAR
  switch (net.channels)
  {
    case 1:
      return AddToPairs(cell, strides, weights, slopes, nodes);
    case 2:
      return AddToChannels<2>(cell, strides, weights, slopes, nodes);
    case 4:
      return AddToChannels<4>(cell, strides, weights, slopes, nodes);
    default:
      break;
  }
#endif
  for (int channel = 0; channel < net.channels; ++channel)
  {
    AddToNodes(cell, strides, weights, slopes + channel * kBlock, nodes + channel);
  }
}

// Slope of the loss with respect to the points' positions in the grid, in node units along each axis.
HWY_INLINE void PositionSlopes(const amgsrn_network& net, const Cell& cell, const Strides& strides,
  const FloatVector weights[4], const float* slopes, const float* nodes, FloatVector by_axis[3])
{
  const Floats d;
  const FloatVector one = hn::Set(d, 1.0f);
  const FloatVector left_y = hn::Sub(one, cell.right[1]), left_z = hn::Sub(one, cell.right[2]);
  const int edges[4] = { 0, strides.y, strides.z, strides.y + strides.z };
  for (int axis = 0; axis < 3; ++axis)
  {
    by_axis[axis] = hn::Zero(d);
  }
  for (int channel = 0; channel < net.channels; ++channel)
  {
    const FloatVector slope = hn::IfThenElseZero(cell.inside, hn::Load(d, slopes + channel * kBlock));
    FloatVector along_x = hn::Zero(d), line[4];
    for (int edge = 0; edge < 4; ++edge)
    {
      const FloatVector low = hn::GatherIndex(d, nodes + channel + edges[edge], cell.node);
      const FloatVector rise =
        hn::Sub(hn::GatherIndex(d, nodes + channel + edges[edge] + strides.x, cell.node), low);
      along_x = hn::MulAdd(rise, weights[edge], along_x);
      line[edge] = hn::MulAdd(rise, cell.right[0], low);
    }
    const FloatVector along_y =
      hn::MulAdd(hn::Sub(line[1], line[0]), left_z, hn::Mul(hn::Sub(line[3], line[2]), cell.right[2]));
    const FloatVector along_z =
      hn::MulAdd(hn::Sub(line[2], line[0]), left_y, hn::Mul(hn::Sub(line[3], line[1]), cell.right[1]));
    by_axis[0] = hn::MulAdd(slope, along_x, by_axis[0]);
    by_axis[1] = hn::MulAdd(slope, along_y, by_axis[1]);
    by_axis[2] = hn::MulAdd(slope, along_z, by_axis[2]);
  }
}

// What a grid's nodes and its transform gain from one block: adds into `nodes` (laid out as the network's
// features, of one grid) and, if not null, `transform` [3][4]. `slopes` [channels][kBlock] are those of the
// grid's features.
HWY_INLINE void GridGradient(const amgsrn_network& net, const int grid, const float* points,
  const float* slopes, float* nodes, float* transform)
{
  const Floats d;
  const Strides strides(net);
  const float half_sizes[3] = { 0.5f * (net.width - 1), 0.5f * (net.height - 1), 0.5f * (net.depth - 1) };
  FloatVector sums[12];
  for (FloatVector& sum : sums)
  {
    sum = hn::Zero(d);
  }
  for (int offset = 0; offset < kBlock; offset += static_cast<int>(hn::Lanes(d)))
  {
    const Cell cell = FindCell(net, strides, net.transforms + 12 * grid, points, offset);
    if (hn::AllFalse(d, cell.inside))
    {
      continue;
    }
    FloatVector weights[4];
    EdgeWeights(cell, weights);
    AddToGrid(net, cell, strides, weights, slopes + offset, nodes);
    if (!transform)
    {
      continue;
    }
    FloatVector by_axis[3];
    PositionSlopes(net, cell, strides, weights, slopes + offset, net.features + grid * strides.grid, by_axis);
    for (int axis = 0; axis < 3; ++axis)
    {
      const FloatVector slope = hn::Mul(by_axis[axis], hn::Set(d, half_sizes[axis]));
      for (int k = 0; k < 3; ++k)
      {
        sums[4 * axis + k] = hn::MulAdd(slope, hn::Load(d, points + k * kBlock + offset), sums[4 * axis + k]);
      }
      sums[4 * axis + 3] = hn::Add(sums[4 * axis + 3], slope);
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
