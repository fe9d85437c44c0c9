// SPDX-License-Identifier: BSD-3-Clause
// Trilinear features of all grids for one block of points. Compiled once per instruction set (Google
// Highway's -inl.h convention).
#if defined(AMGSRN_ENCODE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AMGSRN_ENCODE_INL_H_
#undef AMGSRN_ENCODE_INL_H_
#else
#define AMGSRN_ENCODE_INL_H_
#endif

#include "amgsrn_kernels.h"
#include "block.h"

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace amgsrn
{
namespace HWY_NAMESPACE
{
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, 16>;
using Ints = hn::RebindToSigned<Floats>;
using FloatVector = hn::Vec<Floats>;
using IntVector = hn::Vec<Ints>;
using FloatMask = hn::Mask<Floats>;

// Where the points of one vector are in one grid.
struct Cell
{
  FloatMask inside;     // within the grid or the voxel around it, where features fade to zero
  IntVector node;       // index of the cell's first node's first channel, 0 where not inside
  FloatVector right[3]; // weight of the upper node along x, y, z
};

// Strides of a grid with its ring of zeros, in floats.
struct Strides
{
  explicit Strides(const amgsrn_network& net)
    : x(net.channels)
    , y((net.width + 2) * net.channels)
    , z((net.height + 2) * y)
    , grid(static_cast<std::size_t>(net.depth + 2) * z)
  {
  }
  int x, y, z;
  std::size_t grid;
};

// Position of the points in node units of a grid with its ring, along one axis of the grid: row of the
// transform, then -1..1 to 1..n.
HWY_INLINE FloatVector NodePosition(
  const float* row, const FloatVector x, const FloatVector y, const FloatVector z, const int nodes)
{
  const Floats d;
  const FloatVector local = hn::MulAdd(hn::Set(d, row[0]), x,
    hn::MulAdd(hn::Set(d, row[1]), y, hn::MulAdd(hn::Set(d, row[2]), z, hn::Set(d, row[3]))));
  const FloatVector half = hn::Set(d, 0.5f * static_cast<float>(nodes - 1));
  return hn::MulAdd(local, half, hn::Add(half, hn::Set(d, 1.0f)));
}

HWY_INLINE Cell FindCell(const amgsrn_network& net, const Strides& strides, const float* transform,
  const float* block, const int offset)
{
  const Floats d;
  const Ints di;
  const FloatVector x = hn::Load(d, block + offset);
  const FloatVector y = hn::Load(d, block + kBlock + offset);
  const FloatVector z = hn::Load(d, block + 2 * kBlock + offset);
  const int nodes[3] = { net.width, net.height, net.depth };
  const int stride[3] = { strides.x, strides.y, strides.z };
  Cell cell;
  cell.node = hn::Zero(di);
  for (int axis = 0; axis < 3; ++axis)
  {
    const FloatVector position = NodePosition(transform + 4 * axis, x, y, z, nodes[axis]);
    const FloatMask within = hn::And(
      hn::Gt(position, hn::Zero(d)), hn::Lt(position, hn::Set(d, static_cast<float>(nodes[axis] + 1))));
    cell.inside = axis == 0 ? within : hn::And(cell.inside, within);
    const FloatVector lower = hn::Floor(position);
    cell.right[axis] = hn::Sub(position, lower);
    cell.node = hn::Add(cell.node, hn::Mul(hn::ConvertTo(di, lower), hn::Set(di, stride[axis])));
  }
  cell.node = hn::IfThenElseZero(hn::RebindMask(di, cell.inside), cell.node);
  return cell;
}

// One channel of the cells' eight corners, interpolated.
HWY_INLINE FloatVector Interpolate(const Cell& cell, const Strides& strides, const float* channel)
{
  const Floats d;
  const FloatVector one = hn::Set(d, 1.0f);
  const FloatVector left_y = hn::Sub(one, cell.right[1]), left_z = hn::Sub(one, cell.right[2]);
  const FloatVector weights[4] = { hn::Mul(left_y, left_z), hn::Mul(cell.right[1], left_z),
    hn::Mul(left_y, cell.right[2]), hn::Mul(cell.right[1], cell.right[2]) };
  const int edges[4] = { 0, strides.y, strides.z, strides.y + strides.z };
  FloatVector left = hn::Zero(d), right = hn::Zero(d);
  for (int edge = 0; edge < 4; ++edge)
  {
    left = hn::MulAdd(hn::GatherIndex(d, channel + edges[edge], cell.node), weights[edge], left);
    right =
      hn::MulAdd(hn::GatherIndex(d, channel + edges[edge] + strides.x, cell.node), weights[edge], right);
  }
  return hn::IfThenElseZero(cell.inside, hn::MulAdd(hn::Sub(right, left), cell.right[0], left));
}

#if HWY_TARGET != HWY_SCALAR

// The same for grids of one channel: a cell's left and right nodes are neighbours in memory and are fetched
// as one 64-bit number.
HWY_INLINE FloatVector InterpolatePairs(const Cell& cell, const Strides& strides, const float* nodes)
{
  const Floats d;
  const hn::Repartition<std::int64_t, Floats> wide;
  const FloatVector one = hn::Set(d, 1.0f);
  const FloatVector left_y = hn::Sub(one, cell.right[1]), left_z = hn::Sub(one, cell.right[2]);
  const FloatVector weights[4] = { hn::Mul(left_y, left_z), hn::Mul(cell.right[1], left_z),
    hn::Mul(left_y, cell.right[2]), hn::Mul(cell.right[1], cell.right[2]) };
  const int edges[4] = { 0, strides.y, strides.z, strides.y + strides.z };
  const auto bytes = hn::ShiftLeft<2>(cell.node);
  const auto lower = hn::PromoteTo(wide, hn::LowerHalf(bytes));
  const auto upper = hn::PromoteTo(wide, hn::UpperHalf(hn::Half<Ints>(), bytes));
  FloatVector left = hn::Zero(d), right = hn::Zero(d);
  for (int edge = 0; edge < 4; ++edge)
  {
    const auto* base = reinterpret_cast<const std::int64_t*>(nodes + edges[edge]);
    const FloatVector low = hn::BitCast(d, hn::GatherOffset(wide, base, lower));
    const FloatVector high = hn::BitCast(d, hn::GatherOffset(wide, base, upper));
    left = hn::MulAdd(hn::ConcatEven(d, high, low), weights[edge], left);
    right = hn::MulAdd(hn::ConcatOdd(d, high, low), weights[edge], right);
  }
  return hn::IfThenElseZero(cell.inside, hn::MulAdd(hn::Sub(right, left), cell.right[0], left));
}

// The same for grids of two or four channels, all channels at once: per point and edge of its cell, one or
// two loads of four floats.
template <int Channels>
HWY_INLINE void InterpolateChannels(
  const Cell& cell, const Strides& strides, const float* nodes, float* features)
{
  static_assert(Channels == 2 || Channels == 4, "four floats are two nodes of two channels, or one of four");
  const Floats d;
  const Ints di;
  const hn::FixedTag<float, 4> four;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const FloatVector one = hn::Set(d, 1.0f);
  const FloatVector left_y = hn::Sub(one, cell.right[1]), left_z = hn::Sub(one, cell.right[2]);
  const int edges[4] = { 0, strides.y, strides.z, strides.y + strides.z };
  HWY_ALIGN float weights[4][16], right[16];
  HWY_ALIGN std::int32_t node[16];
  // No point outside the grid has any weight.
  const FloatVector weight_z[2] = { hn::IfThenElseZero(cell.inside, left_z),
    hn::IfThenElseZero(cell.inside, cell.right[2]) };
  hn::Store(hn::Mul(left_y, weight_z[0]), d, weights[0]);
  hn::Store(hn::Mul(cell.right[1], weight_z[0]), d, weights[1]);
  hn::Store(hn::Mul(left_y, weight_z[1]), d, weights[2]);
  hn::Store(hn::Mul(cell.right[1], weight_z[1]), d, weights[3]);
  hn::Store(cell.right[0], d, right);
  hn::Store(cell.node, di, node);
  for (int lane = 0; lane < lanes; ++lane)
  {
    const float* first = nodes + node[lane];
    auto left_sum = hn::Zero(four), right_sum = hn::Zero(four);
    for (int edge = 0; edge < 4; ++edge)
    {
      const auto weight = hn::Set(four, weights[edge][lane]);
      left_sum = hn::MulAdd(hn::LoadU(four, first + edges[edge]), weight, left_sum);
      if (Channels == 4)
      {
        right_sum = hn::MulAdd(hn::LoadU(four, first + edges[edge] + 4), weight, right_sum);
      }
    }
    if (Channels == 2)
    {
      right_sum = hn::Shuffle1032(left_sum);
    }
    HWY_ALIGN float value[4];
    hn::Store(hn::MulAdd(hn::Sub(right_sum, left_sum), hn::Set(four, right[lane]), left_sum), four, value);
    for (int channel = 0; channel < Channels; ++channel)
    {
      features[channel * kBlock + lane] = value[channel];
    }
  }
}

#endif

// Features [grids * channels][kBlock] of the points [3][kBlock].
HWY_INLINE void Encode(const amgsrn_network& net, const float* points, float* features)
{
  const Floats d;
  const Strides strides(net);
  for (int grid = 0; grid < net.grids; ++grid)
  {
    const float* nodes = net.features + grid * strides.grid;
    float* row = features + static_cast<std::size_t>(grid) * net.channels * kBlock;
    for (int offset = 0; offset < kBlock; offset += static_cast<int>(hn::Lanes(d)))
    {
      const Cell cell = FindCell(net, strides, net.transforms + 12 * grid, points, offset);
      // Most grids cover a part of the domain only.
      if (hn::AllFalse(d, cell.inside))
      {
        for (int channel = 0; channel < net.channels; ++channel)
        {
          hn::Store(hn::Zero(d), d, row + channel * kBlock + offset);
        }
        continue;
      }
#if HWY_TARGET != HWY_SCALAR
      if (net.channels == 1)
      {
        hn::Store(InterpolatePairs(cell, strides, nodes), d, row + offset);
        continue;
      }
      if (net.channels == 2)
      {
        InterpolateChannels<2>(cell, strides, nodes, row + offset);
        continue;
      }
      if (net.channels == 4)
      {
        InterpolateChannels<4>(cell, strides, nodes, row + offset);
        continue;
      }
#endif
      for (int channel = 0; channel < net.channels; ++channel)
      {
        hn::Store(Interpolate(cell, strides, nodes + channel), d, row + channel * kBlock + offset);
      }
    }
  }
}

} // namespace HWY_NAMESPACE
} // namespace amgsrn
HWY_AFTER_NAMESPACE();
#endif
