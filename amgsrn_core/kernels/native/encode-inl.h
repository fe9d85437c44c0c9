// SPDX-License-Identifier: BSD-3-Clause
// Trilinear features of all grids for one block of points. Compiled once per instruction set (Google
// Highway's -inl.h convention).
//
// A gather instruction fetches one number after the other, so fetching a cell's eight corners with gathers
// takes longer than all the arithmetic. Instead, neighbouring corners are copied together, point by point, to
// where vectors can be loaded from: see CopyCorners.
#if defined(AMGSRN_ENCODE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AMGSRN_ENCODE_INL_H_
#undef AMGSRN_ENCODE_INL_H_
#else
#define AMGSRN_ENCODE_INL_H_
#endif

#include "amgsrn_kernels.h"
#include "block.h"

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cstring>

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

HWY_INLINE int Lanes()
{
  return static_cast<int>(hn::Lanes(Floats()));
}

// A cell has four edges along x: lower y and z, upper y, upper z, upper both.
constexpr int kEdges = 4;

// Strides of a grid with its ring of zeros, in floats.
struct Strides
{
  explicit Strides(const amgsrn_network& net)
    : x(net.channels)
    , y((net.width + 2) * net.channels)
    , z((net.height + 2) * y)
    , edges{ 0, y, z, y + z }
    , grid(static_cast<std::size_t>(net.depth + 2) * z)
  {
  }
  int x, y, z;
  int edges[kEdges];
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

// Finds the cells of a block's points [3][kBlock].
HWY_INLINE void FindCells(const amgsrn_network& net, const Strides& strides, const float* transform,
  const float* points, Cells& cells)
{
  const Floats d;
  const Ints di;
  const int nodes[3] = { net.width, net.height, net.depth };
  const int stride[3] = { strides.x, strides.y, strides.z };
  cells.any = false;
  for (int offset = 0; offset < kBlock; offset += Lanes())
  {
    const FloatVector x = hn::Load(d, points + offset);
    const FloatVector y = hn::Load(d, points + kBlock + offset);
    const FloatVector z = hn::Load(d, points + 2 * kBlock + offset);
    FloatMask inside{};
    FloatVector right[3];
    IntVector node = hn::Zero(di);
    for (int axis = 0; axis < 3; ++axis)
    {
      const FloatVector position = NodePosition(transform + 4 * axis, x, y, z, nodes[axis]);
      const FloatMask within = hn::And(
        hn::Gt(position, hn::Zero(d)), hn::Lt(position, hn::Set(d, static_cast<float>(nodes[axis] + 1))));
      inside = axis == 0 ? within : hn::And(inside, within);
      const FloatVector lower = hn::Floor(position);
      right[axis] = hn::Sub(position, lower);
      node = hn::Add(node, hn::Mul(hn::ConvertTo(di, lower), hn::Set(di, stride[axis])));
    }
    const bool active = !hn::AllFalse(d, inside);
    cells.any = cells.any || active;
    cells.active[offset / Lanes()] = active;
    hn::Store(hn::IfThenElseZero(hn::RebindMask(di, inside), node), di, cells.node + offset);
    hn::Store(right[0], d, cells.right_x + offset);
    hn::Store(right[1], d, cells.right_y + offset);
    hn::Store(hn::IfThenElseZero(inside, hn::Sub(hn::Set(d, 1.0f), right[2])), d, cells.left_z + offset);
    hn::Store(hn::IfThenElseZero(inside, right[2]), d, cells.right_z + offset);
  }
}

// The weights of the four edges of the cells of one vector of points.
HWY_INLINE void EdgeWeights(const Cells& cells, const int offset, FloatVector weights[kEdges])
{
  const Floats d;
  const FloatVector right_y = hn::Load(d, cells.right_y + offset);
  const FloatVector left_y = hn::Sub(hn::Set(d, 1.0f), right_y);
  const FloatVector left_z = hn::Load(d, cells.left_z + offset);
  const FloatVector right_z = hn::Load(d, cells.right_z + offset);
  weights[0] = hn::Mul(left_y, left_z);
  weights[1] = hn::Mul(right_y, left_z);
  weights[2] = hn::Mul(left_y, right_z);
  weights[3] = hn::Mul(right_y, right_z);
}

// How the corners of a block's cells are copied, by the number of channels: the nodes of an edge follow each
// other, as do the channels of a node. Grids with another number of channels take the slower way, one channel
// after the other (kChannels 0).
template <int kChannels>
struct Corners
{
  static_assert(
    kChannels == 1 || kChannels == 2 || kChannels == 4, "what two interleaved loads can take apart");
  static constexpr int kPerEdge = 2 * kChannels; // floats
  // [edge][point][left and right node][channel], but [edge][node][point][channel] of four channels.
  HWY_ALIGN float values[kEdges * kBlock * kPerEdge];

  HWY_INLINE void CopyPoint(const float* nodes, const Strides& strides, const int node, const int point)
  {
    for (int edge = 0; edge < kEdges; ++edge)
    {
      const float* source = nodes + node + strides.edges[edge];
      if (kChannels < 4)
      {
        std::memcpy(values + (edge * kBlock + point) * kPerEdge, source, kPerEdge * sizeof(float));
      }
      else
      {
        std::memcpy(values + (2 * edge * kBlock + point) * 4, source, 4 * sizeof(float));
        std::memcpy(values + ((2 * edge + 1) * kBlock + point) * 4, source + 4, 4 * sizeof(float));
      }
    }
  }

  // All channels of the left and right nodes of an edge, for the vector of points at `offset`.
  HWY_INLINE void Load(const int edge, const int offset, FloatVector left[], FloatVector right[]) const
  {
    const Floats d;
    if constexpr (kChannels == 1)
    {
      hn::LoadInterleaved2(d, values + (edge * kBlock + offset) * 2, left[0], right[0]);
    }
    else if constexpr (kChannels == 2)
    {
      hn::LoadInterleaved4(d, values + (edge * kBlock + offset) * 4, left[0], left[1], right[0], right[1]);
    }
    else
    {
      const float* start = values + (2 * edge * kBlock + offset) * 4;
      hn::LoadInterleaved4(d, start, left[0], left[1], left[2], left[3]);
      hn::LoadInterleaved4(d, start + 4 * kBlock, right[0], right[1], right[2], right[3]);
    }
  }
};

template <int kChannels>
HWY_INLINE void CopyCorners(
  const Cells& cells, const Strides& strides, const float* nodes, Corners<kChannels>& corners)
{
  for (int offset = 0; offset < kBlock; offset += Lanes())
  {
    if (cells.active[offset / Lanes()])
    {
      for (int point = offset; point < offset + Lanes(); ++point)
      {
        corners.CopyPoint(nodes, strides, cells.node[point], point);
      }
    }
  }
}

// Features [channels][kBlock] of one grid, from the copied corners of its cells.
template <int kChannels>
HWY_INLINE void Interpolate(const Cells& cells, const Corners<kChannels>& corners, float* features)
{
  const Floats d;
  for (int offset = 0; offset < kBlock; offset += Lanes())
  {
    FloatVector left_sum[kChannels], right_sum[kChannels];
    for (int channel = 0; channel < kChannels; ++channel)
    {
      left_sum[channel] = right_sum[channel] = hn::Zero(d);
    }
    if (cells.active[offset / Lanes()])
    {
      FloatVector weights[kEdges];
      EdgeWeights(cells, offset, weights);
      for (int edge = 0; edge < kEdges; ++edge)
      {
        FloatVector left[kChannels], right[kChannels];
        corners.Load(edge, offset, left, right);
        for (int channel = 0; channel < kChannels; ++channel)
        {
          left_sum[channel] = hn::MulAdd(left[channel], weights[edge], left_sum[channel]);
          right_sum[channel] = hn::MulAdd(right[channel], weights[edge], right_sum[channel]);
        }
      }
    }
    const FloatVector right_x = hn::Load(d, cells.right_x + offset);
    for (int channel = 0; channel < kChannels; ++channel)
    {
      const FloatVector rise = hn::Sub(right_sum[channel], left_sum[channel]);
      hn::Store(hn::MulAdd(rise, right_x, left_sum[channel]), d, features + channel * kBlock + offset);
    }
  }
}

// The same for any number of channels, `feature` [kBlock] of one of them, with gathers.
HWY_INLINE void InterpolateOneChannel(
  const Cells& cells, const Strides& strides, const float* channel, float* feature)
{
  const Floats d;
  const Ints di;
  for (int offset = 0; offset < kBlock; offset += Lanes())
  {
    FloatVector left = hn::Zero(d), right = hn::Zero(d);
    if (cells.active[offset / Lanes()])
    {
      FloatVector weights[kEdges];
      EdgeWeights(cells, offset, weights);
      const IntVector node = hn::Load(di, cells.node + offset);
      for (int edge = 0; edge < kEdges; ++edge)
      {
        const float* source = channel + strides.edges[edge];
        left = hn::MulAdd(hn::GatherIndex(d, source, node), weights[edge], left);
        right = hn::MulAdd(hn::GatherIndex(d, source + strides.x, node), weights[edge], right);
      }
    }
    hn::Store(
      hn::MulAdd(hn::Sub(right, left), hn::Load(d, cells.right_x + offset), left), d, feature + offset);
  }
}

// Asks for the cells' corners ahead of their use; worth it where grids are too large for the caches.
HWY_INLINE void PrefetchCells(const Cells& cells, const Strides& strides, const float* nodes)
{
  for (int point = 0; point < kBlock; ++point)
  {
    for (int edge = 0; edge < kEdges; ++edge)
    {
      hwy::Prefetch(nodes + cells.node[point] + strides.edges[edge]);
    }
  }
}

// Floats of all grids from which on their nodes are fetched ahead: more than a core's own caches hold.
constexpr std::size_t kPrefetchFloats = std::size_t{ 1 } << 18;

// See Encode.
template <int kChannels>
HWY_INLINE void EncodeWith(const amgsrn_network& net, const float* points, float* features, Cells* saved)
{
  const Floats d;
  const Strides strides(net);
  const bool prefetch = strides.grid * net.grids > kPrefetchFloats;
  Cells buffers[2];
  const auto cells_of = [&](const int grid) -> Cells& { return saved ? saved[grid] : buffers[grid % 2]; };
  FindCells(net, strides, net.transforms, points, cells_of(0));
  for (int grid = 0; grid < net.grids; ++grid)
  {
    const float* nodes = net.features + grid * strides.grid;
    float* row = features + static_cast<std::size_t>(grid) * net.channels * kBlock;
    const Cells& cells = cells_of(grid);
    if (grid + 1 < net.grids)
    {
      Cells& next = cells_of(grid + 1);
      FindCells(net, strides, net.transforms + 12 * (grid + 1), points, next);
      if (prefetch && next.any)
      {
        PrefetchCells(next, strides, nodes + strides.grid);
      }
    }
    if (!cells.any) // most grids cover a part of the domain only
    {
      for (int i = 0; i < net.channels * kBlock; i += Lanes())
      {
        hn::Store(hn::Zero(d), d, row + i);
      }
    }
    else if constexpr (kChannels != 0)
    {
      Corners<kChannels> corners;
      CopyCorners(cells, strides, nodes, corners);
      Interpolate(cells, corners, row);
    }
    else
    {
      for (int channel = 0; channel < net.channels; ++channel)
      {
        InterpolateOneChannel(cells, strides, nodes + channel, row + channel * kBlock);
      }
    }
  }
}

// Features [grids * channels][kBlock] of the points [3][kBlock]; the cells that they are in are left in
// saved[grids], if not null.
HWY_INLINE void Encode(
  const amgsrn_network& net, const float* points, float* features, Cells* saved = nullptr)
{
  switch (net.channels)
  {
    case 1:
      return EncodeWith<1>(net, points, features, saved);
    case 2:
      return EncodeWith<2>(net, points, features, saved);
    case 4:
      return EncodeWith<4>(net, points, features, saved);
    default:
      return EncodeWith<0>(net, points, features, saved);
  }
}

} // namespace HWY_NAMESPACE
} // namespace amgsrn
HWY_AFTER_NAMESPACE();
#endif
