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
      const bool outside = hn::AllFalse(d, cell.inside);
      for (int channel = 0; channel < net.channels; ++channel)
      {
        const FloatVector value = outside ? hn::Zero(d) : Interpolate(cell, strides, nodes + channel);
        hn::Store(value, d, row + channel * kBlock + offset);
      }
    }
  }
}

} // namespace HWY_NAMESPACE
} // namespace amgsrn
HWY_AFTER_NAMESPACE();
#endif
