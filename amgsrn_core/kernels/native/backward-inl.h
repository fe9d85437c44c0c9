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
  int row = 0;
#if HWY_TARGET != HWY_SCALAR
  // Tiles of four by four numbers, in registers.
  const hn::FixedTag<float, 4> d;
  const hn::FixedTag<double, 2> pairs;
  for (; row + 4 <= rows; row += 4)
  {
    for (int p = 0; p < kBlock; p += 4)
    {
      const auto a = hn::Load(d, block + row * kBlock + p);
      const auto b = hn::Load(d, block + (row + 1) * kBlock + p);
      const auto c = hn::Load(d, block + (row + 2) * kBlock + p);
      const auto e = hn::Load(d, block + (row + 3) * kBlock + p);
      const auto ab_low = hn::BitCast(pairs, hn::InterleaveLower(d, a, b));
      const auto ab_high = hn::BitCast(pairs, hn::InterleaveUpper(d, a, b));
      const auto ce_low = hn::BitCast(pairs, hn::InterleaveLower(d, c, e));
      const auto ce_high = hn::BitCast(pairs, hn::InterleaveUpper(d, c, e));
      float* target = points + p * stride + row;
      hn::Store(hn::BitCast(d, hn::InterleaveLower(pairs, ab_low, ce_low)), d, target);
      hn::Store(hn::BitCast(d, hn::InterleaveUpper(pairs, ab_low, ce_low)), d, target + stride);
      hn::Store(hn::BitCast(d, hn::InterleaveLower(pairs, ab_high, ce_high)), d, target + 2 * stride);
      hn::Store(hn::BitCast(d, hn::InterleaveUpper(pairs, ab_high, ce_high)), d, target + 3 * stride);
    }
  }
#endif
  for (; row < rows; ++row)
  {
    for (int p = 0; p < kBlock; ++p)
    {
      points[p * stride + row] = block[row * kBlock + p];
    }
  }
}

// A tile of the gradient of a layer's weights: rows [row, row + Rows), and as many columns as Vectors vectors
// have lanes from `column` on: gradient[j][k] += sum over points of dy[j][p] x[p][k].
template <int Rows, int Vectors>
HWY_INLINE void WeightGradientTile(
  const float* dy, const int row, const float* x, const int stride, const int column, float* gradient)
{
  const Floats d;
  FloatVector sum[Rows][Vectors];
  for (int r = 0; r < Rows; ++r)
  {
    for (int v = 0; v < Vectors; ++v)
    {
      sum[r][v] = hn::Zero(d);
    }
  }
  for (int p = 0; p < kBlock; ++p)
  {
    FloatVector in[Vectors];
    for (int v = 0; v < Vectors; ++v)
    {
      in[v] = hn::Load(d, x + p * stride + column + v * Lanes());
    }
    for (int r = 0; r < Rows; ++r)
    {
      const FloatVector slope = hn::Set(d, dy[(row + r) * kBlock + p]);
      for (int v = 0; v < Vectors; ++v)
      {
        sum[r][v] = hn::MulAdd(slope, in[v], sum[r][v]);
      }
    }
  }
  for (int r = 0; r < Rows; ++r)
  {
    for (int v = 0; v < Vectors; ++v)
    {
      float* target = gradient + (row + r) * stride + column + v * Lanes();
      hn::Store(hn::Add(hn::Load(d, target), sum[r][v]), d, target);
    }
  }
}

template <int Rows>
HWY_INLINE void WeightGradientRows(
  const float* dy, const int row, const float* x, const int stride, const int inputs, float* gradient)
{
  int column = 0;
  for (; column + kVectors * Lanes() <= inputs; column += kVectors * Lanes())
  {
    WeightGradientTile<Rows, kVectors>(dy, row, x, stride, column, gradient);
  }
  for (; column < inputs; column += Lanes())
  {
    WeightGradientTile<Rows, 1>(dy, row, x, stride, column, gradient);
  }
}

// gradient [outputs][stride] += dy [outputs][kBlock] times x [kBlock][stride]; stride is a multiple of a
// vector's lanes.
HWY_INLINE void WeightGradient(
  const float* dy, const int outputs, const float* x, const int stride, const int inputs, float* gradient)
{
  // Of narrow layers more rows at once, so that enough sums are independent of each other.
  constexpr int kMoreRows = 2 * kRows;
  int row = 0;
  if (inputs < kVectors * Lanes())
  {
    for (; row + kMoreRows <= outputs; row += kMoreRows)
    {
      WeightGradientRows<kMoreRows>(dy, row, x, stride, inputs, gradient);
    }
  }
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

// Points between two that are added one after the other; without a common divisor with kBlock. In a block of
// 4x4x4 points it leads two or three points away along each axis.
constexpr int kScatterStep = 43;
// Floats of a grid from which on its nodes are fetched ahead: more than a core's own caches hold.
constexpr std::size_t kPrefetchGridFloats = std::size_t{ 1 } << 16;

#if HWY_TARGET != HWY_SCALAR

// Several points of a block may share a node, so slopes are added to nodes point by point, never as a vector
// scatter; all channels of an edge's two nodes at once, since they follow each other.
template <int kChannels>
struct Shares
{
  static_assert(
    kChannels == 1 || kChannels == 2 || kChannels == 4, "what two interleaved stores can put together");
  // What a point adds to the nodes of an edge, before the edge's weight: [point][left and right
  // node][channel], but [node][point][channel] of four channels.
  HWY_ALIGN float values[kBlock * 2 * kChannels];
  HWY_ALIGN float weights[kEdges * kBlock];

  // For the vector of points at `offset`, given the slopes [channels][kBlock] of the grid's features.
  HWY_INLINE void Set(const Cells& cells, const int offset, const float* slopes)
  {
    const Floats d;
    FloatVector edge_weights[kEdges];
    EdgeWeights(cells, offset, edge_weights);
    for (int edge = 0; edge < kEdges; ++edge)
    {
      hn::Store(edge_weights[edge], d, weights + edge * kBlock + offset);
    }
    const FloatVector right_x = hn::Load(d, cells.right_x + offset);
    FloatVector left[kChannels], right[kChannels];
    for (int channel = 0; channel < kChannels; ++channel)
    {
      const FloatVector slope = hn::Load(d, slopes + channel * kBlock + offset);
      right[channel] = hn::Mul(slope, right_x);
      left[channel] = hn::Sub(slope, right[channel]);
    }
    if constexpr (kChannels == 1)
    {
      hn::StoreInterleaved2(left[0], right[0], d, values + offset * 2);
    }
    else if constexpr (kChannels == 2)
    {
      hn::StoreInterleaved4(left[0], left[1], right[0], right[1], d, values + offset * 4);
    }
    else
    {
      hn::StoreInterleaved4(left[0], left[1], left[2], left[3], d, values + offset * 4);
      hn::StoreInterleaved4(right[0], right[1], right[2], right[3], d, values + (kBlock + offset) * 4);
    }
  }

  HWY_INLINE void AddPoint(const Strides& strides, const int node, const int point, float* gradients) const
  {
    const hn::FixedTag<float, kChannels == 1 ? 2 : 4> d;
    const auto share = hn::Load(d, values + point * (kChannels == 1 ? 2 : 4));
    for (int edge = 0; edge < kEdges; ++edge)
    {
      const auto weight = hn::Set(d, weights[edge * kBlock + point]);
      float* const target = gradients + node + strides.edges[edge];
      hn::StoreU(hn::MulAdd(share, weight, hn::LoadU(d, target)), d, target);
      if constexpr (kChannels == 4)
      {
        const auto right = hn::Load(d, values + (kBlock + point) * 4);
        hn::StoreU(hn::MulAdd(right, weight, hn::LoadU(d, target + 4)), d, target + 4);
      }
    }
  }
};

// Per point and edge, the sums over channels of a node's value times its feature's slope: what the slopes
// along the axes are made of.
template <int kChannels>
struct WeightedCorners
{
  HWY_ALIGN float slopes[kBlock * 4];          // [point][channel], of two channels twice
  HWY_ALIGN float values[2 * kBlock * kEdges]; // [left and right node][point][edge]

  HWY_INLINE void Set(const int offset, const float* of_features)
  {
    const Floats d;
    FloatVector slope[4];
    for (int i = 0; i < 4; ++i)
    {
      slope[i] = hn::Load(d, of_features + i % kChannels * kBlock + offset);
    }
    hn::StoreInterleaved4(slope[0], slope[1], slope[2], slope[3], d, slopes + offset * 4);
  }

  HWY_INLINE void AddPoint(const Strides& strides, const int node, const int point, const float* nodes)
  {
    const hn::FixedTag<float, 4> d;
    const hn::FixedTag<double, 2> pairs;
    using V = hn::Vec<decltype(d)>;
    const auto low = [&](const V a, const V b)
    { return hn::BitCast(d, hn::InterleaveLower(pairs, hn::BitCast(pairs, a), hn::BitCast(pairs, b))); };
    const auto high = [&](const V a, const V b)
    { return hn::BitCast(d, hn::InterleaveUpper(pairs, hn::BitCast(pairs, a), hn::BitCast(pairs, b))); };
    const V slope = hn::Load(d, slopes + point * 4);
    V left[kEdges], right[kEdges];
    for (int edge = 0; edge < kEdges; ++edge)
    {
      const float* source = nodes + node + strides.edges[edge];
      left[edge] = hn::Mul(hn::LoadU(d, source), slope);
      right[edge] = kChannels == 4 ? hn::Mul(hn::LoadU(d, source + 4), slope) : left[edge];
    }
    V left_sum, right_sum;
    if constexpr (kChannels == 4)
    {
      const auto sums = [&](const V v[kEdges])
      {
        const V first = hn::Add(hn::InterleaveLower(d, v[0], v[1]), hn::InterleaveUpper(d, v[0], v[1]));
        const V second = hn::Add(hn::InterleaveLower(d, v[2], v[3]), hn::InterleaveUpper(d, v[2], v[3]));
        return hn::Add(low(first, second), high(first, second));
      };
      left_sum = sums(left);
      right_sum = sums(right);
    }
    else
    {
      const V left_first = hn::InterleaveLower(d, left[0], left[1]);
      const V left_second = hn::InterleaveLower(d, left[2], left[3]);
      const V right_first = hn::InterleaveUpper(d, left[0], left[1]);
      const V right_second = hn::InterleaveUpper(d, left[2], left[3]);
      left_sum = hn::Add(low(left_first, left_second), high(left_first, left_second));
      right_sum = hn::Add(low(right_first, right_second), high(right_first, right_second));
    }
    hn::Store(left_sum, d, values + point * kEdges);
    hn::Store(right_sum, d, values + (kBlock + point) * kEdges);
  }

  HWY_INLINE void Load(const int offset, FloatVector left[kEdges], FloatVector right[kEdges]) const
  {
    const Floats d;
    hn::LoadInterleaved4(d, values + offset * kEdges, left[0], left[1], left[2], left[3]);
    hn::LoadInterleaved4(d, values + (kBlock + offset) * kEdges, right[0], right[1], right[2], right[3]);
  }
};

// Of one channel nothing is to be summed.
template <>
struct WeightedCorners<1>
{
  Corners<1> corners;
  const float* slopes = nullptr;

  HWY_INLINE void Set(const int, const float* of_features) { slopes = of_features; }

  HWY_INLINE void AddPoint(const Strides& strides, const int node, const int point, const float* nodes)
  {
    corners.CopyPoint(nodes, strides, node, point);
  }

  HWY_INLINE void Load(const int offset, FloatVector left[kEdges], FloatVector right[kEdges]) const
  {
    const FloatVector slope = hn::Load(Floats(), slopes + offset);
    for (int edge = 0; edge < kEdges; ++edge)
    {
      corners.Load(edge, offset, left + edge, right + edge);
      left[edge] = hn::Mul(left[edge], slope);
      right[edge] = hn::Mul(right[edge], slope);
    }
  }
};

#endif

// Adds to the slope of the loss with respect to a grid's transform, `sums` [3][4][kLargestVector] by vector
// lane, for the vector of points at `offset`. `left` and `right` are, per edge, the sums over channels of the
// left (right) node's value times the feature's slope.
HWY_INLINE void AddTransformSlopes(const amgsrn_network& net, const Cells& cells, const float* points,
  const int offset, const FloatVector left[kEdges], const FloatVector right[kEdges], float* sums)
{
  const Floats d;
  const FloatVector right_x = hn::Load(d, cells.right_x + offset);
  const FloatVector right_y = hn::Load(d, cells.right_y + offset);
  const FloatVector left_y = hn::Sub(hn::Set(d, 1.0f), right_y);
  const FloatVector left_z = hn::Load(d, cells.left_z + offset);
  const FloatVector right_z = hn::Load(d, cells.right_z + offset);
  const auto inside = hn::Gt(hn::Add(left_z, right_z), hn::Zero(d)); // both are zero outside
  FloatVector weights[kEdges], along[3], line[kEdges];
  EdgeWeights(cells, offset, weights);
  along[0] = hn::Zero(d);
  for (int edge = 0; edge < kEdges; ++edge)
  {
    const FloatVector rise = hn::Sub(right[edge], left[edge]);
    along[0] = hn::MulAdd(rise, weights[edge], along[0]);
    line[edge] = hn::MulAdd(rise, right_x, left[edge]);
  }
  along[1] = hn::MulAdd(hn::Sub(line[1], line[0]), left_z, hn::Mul(hn::Sub(line[3], line[2]), right_z));
  along[2] = hn::IfThenElseZero(
    inside, hn::MulAdd(hn::Sub(line[2], line[0]), left_y, hn::Mul(hn::Sub(line[3], line[1]), right_y)));
  const int nodes[3] = { net.width, net.height, net.depth };
  for (int axis = 0; axis < 3; ++axis)
  {
    // From node units to the grid's own [-1, 1].
    const FloatVector slope = hn::Mul(along[axis], hn::Set(d, 0.5f * static_cast<float>(nodes[axis] - 1)));
    float* const row = sums + 4 * axis * kLargestVector;
    for (int k = 0; k < 3; ++k)
    {
      float* const sum = row + k * kLargestVector;
      hn::Store(hn::MulAdd(slope, hn::Load(d, points + k * kBlock + offset), hn::Load(d, sum)), d, sum);
    }
    float* const sum = row + 3 * kLargestVector;
    hn::Store(hn::Add(hn::Load(d, sum), slope), d, sum);
  }
}

// What a grid's transform gains from one block of points; `slopes` [channels][kBlock] are those of the grid's
// features. Adds to `sums`, see AddTransformSlopes.
HWY_INLINE void TransformGradientByChannels(const amgsrn_network& net, const Strides& strides,
  const Cells& cells, const float* points, const float* slopes, const float* nodes, float* sums)
{
  const Floats d;
  const Ints di;
  for (int offset = 0; offset < kBlock; offset += Lanes())
  {
    if (!cells.active[offset / Lanes()])
    {
      continue;
    }
    const IntVector node = hn::Load(di, cells.node + offset);
    FloatVector left[kEdges], right[kEdges];
    for (int edge = 0; edge < kEdges; ++edge)
    {
      left[edge] = right[edge] = hn::Zero(d);
      for (int channel = 0; channel < net.channels; ++channel)
      {
        const FloatVector slope = hn::Load(d, slopes + channel * kBlock + offset);
        const float* source = nodes + channel + strides.edges[edge];
        left[edge] = hn::MulAdd(hn::GatherIndex(d, source, node), slope, left[edge]);
        right[edge] = hn::MulAdd(hn::GatherIndex(d, source + strides.x, node), slope, right[edge]);
      }
    }
    AddTransformSlopes(net, cells, points, offset, left, right, sums);
  }
}

#if HWY_TARGET != HWY_SCALAR

// The same for one, two or four channels.
template <int kChannels>
HWY_INLINE void TransformGradientWith(const amgsrn_network& net, const Strides& strides, const Cells& cells,
  const float* points, const float* slopes, const float* nodes, float* sums)
{
  WeightedCorners<kChannels> corners;
  for (int offset = 0; offset < kBlock; offset += Lanes())
  {
    if (!cells.active[offset / Lanes()])
    {
      continue;
    }
    corners.Set(offset, slopes);
    for (int point = offset; point < offset + Lanes(); ++point)
    {
      corners.AddPoint(strides, cells.node[point], point, nodes);
    }
    FloatVector left[kEdges], right[kEdges];
    corners.Load(offset, left, right);
    AddTransformSlopes(net, cells, points, offset, left, right, sums);
  }
}

#endif

// What the transforms of all grids gain from one block of points [3][kBlock] in the cells of each grid;
// `slopes` [grids * channels][kBlock] are those of the features. Adds to `sums`
// [grids][3][4][kLargestVector].
HWY_INLINE void TransformGradient(
  const amgsrn_network& net, const Cells* cells, const float* points, const float* slopes, float* sums)
{
  const Strides strides(net);
  for (int grid = 0; grid < net.grids; ++grid)
  {
    if (!cells[grid].any)
    {
      continue;
    }
    const float* const nodes = net.features + grid * strides.grid;
    const float* const of_grid = slopes + static_cast<std::size_t>(grid) * net.channels * kBlock;
    float* const to = sums + static_cast<std::size_t>(grid) * 12 * kLargestVector;
#if HWY_TARGET != HWY_SCALAR
    switch (net.channels)
    {
      case 1:
        TransformGradientWith<1>(net, strides, cells[grid], points, of_grid, nodes, to);
        continue;
      case 2:
        TransformGradientWith<2>(net, strides, cells[grid], points, of_grid, nodes, to);
        continue;
      case 4:
        TransformGradientWith<4>(net, strides, cells[grid], points, of_grid, nodes, to);
        continue;
      default:
        break;
    }
#endif
    TransformGradientByChannels(net, strides, cells[grid], points, of_grid, nodes, to);
  }
}

#if HWY_TARGET != HWY_SCALAR

// What the nodes of a grid gain from one block of points.
template <int kChannels>
HWY_INLINE void AddBlockToGrid(
  const Strides& strides, const Cells& cells, const float* slopes, float* node_gradients)
{
  Shares<kChannels> shares;
  for (int offset = 0; offset < kBlock; offset += Lanes())
  {
    if (cells.active[offset / Lanes()])
    {
      shares.Set(cells, offset, slopes);
    }
  }
  // Points that follow each other are often neighbours, and to add to a node that was written just before is
  // slow: hence another order.
  for (int i = 0; i < kBlock; ++i)
  {
    const int point = i * kScatterStep % kBlock;
    if (cells.active[point / Lanes()])
    {
      shares.AddPoint(strides, cells.node[point], point, node_gradients);
    }
  }
}

#endif

// The same for any number of channels, one after the other.
HWY_INLINE void AddBlockByChannels(const amgsrn_network& net, const Strides& strides, const Cells& cells,
  const float* slopes, float* node_gradients)
{
  const Floats d;
  HWY_ALIGN float left[kEdges * kBlock], right[kEdges * kBlock];
  for (int offset = 0; offset < kBlock; offset += Lanes())
  {
    if (!cells.active[offset / Lanes()])
    {
      continue;
    }
    FloatVector weights[kEdges];
    EdgeWeights(cells, offset, weights);
    const FloatVector right_x = hn::Load(d, cells.right_x + offset);
    for (int channel = 0; channel < net.channels; ++channel)
    {
      const FloatVector slope = hn::Load(d, slopes + channel * kBlock + offset);
      for (int edge = 0; edge < kEdges; ++edge)
      {
        const FloatVector share = hn::Mul(slope, weights[edge]);
        const FloatVector on_right = hn::Mul(share, right_x);
        hn::Store(hn::Sub(share, on_right), d, left + edge * kBlock + offset);
        hn::Store(on_right, d, right + edge * kBlock + offset);
      }
      for (int point = offset; point < offset + Lanes(); ++point)
      {
        float* const target = node_gradients + channel + cells.node[point];
        for (int edge = 0; edge < kEdges; ++edge)
        {
          target[strides.edges[edge]] += left[edge * kBlock + point];
          target[strides.edges[edge] + strides.x] += right[edge * kBlock + point];
        }
      }
    }
  }
}

// What a grid's nodes gain from blocks of points [blocks][3][kBlock]: adds into `node_gradients` (laid out as
// the network's features, of one grid). `slopes` are those of the grid's features, [channels][kBlock],
// `slope_stride` apart.
template <int kChannels>
HWY_INLINE void GridGradientWith(const amgsrn_network& net, const int grid, const float* points,
  const std::int64_t blocks, const float* slopes, const std::size_t slope_stride, float* node_gradients)
{
  const Strides strides(net);
  const float* const matrix = net.transforms + 12 * grid;
  const bool prefetch = strides.grid > kPrefetchGridFloats;
  Cells buffers[2];
  FindCells(net, strides, matrix, points, buffers[0]);
  for (std::int64_t block = 0; block < blocks; ++block)
  {
    const Cells& cells = buffers[block % 2];
    if (block + 1 < blocks)
    {
      Cells& next = buffers[(block + 1) % 2];
      FindCells(net, strides, matrix, points + (block + 1) * 3 * kBlock, next);
      if (prefetch && next.any)
      {
        PrefetchCells(next, strides, node_gradients);
      }
    }
    if (!cells.any)
    {
      continue;
    }
    const float* const of_features = slopes + block * slope_stride;
    if constexpr (kChannels == 0)
    {
      AddBlockByChannels(net, strides, cells, of_features, node_gradients);
    }
#if HWY_TARGET != HWY_SCALAR
    else
    {
      AddBlockToGrid<kChannels>(strides, cells, of_features, node_gradients);
    }
#endif
  }
}

HWY_INLINE void GridGradient(const amgsrn_network& net, const int grid, const float* points,
  const std::int64_t blocks, const float* slopes, const std::size_t slope_stride, float* node_gradients)
{
#if HWY_TARGET != HWY_SCALAR
  switch (net.channels)
  {
    case 1:
      return GridGradientWith<1>(net, grid, points, blocks, slopes, slope_stride, node_gradients);
    case 2:
      return GridGradientWith<2>(net, grid, points, blocks, slopes, slope_stride, node_gradients);
    case 4:
      return GridGradientWith<4>(net, grid, points, blocks, slopes, slope_stride, node_gradients);
    default:
      break;
  }
#endif
  GridGradientWith<0>(net, grid, points, blocks, slopes, slope_stride, node_gradients);
}

} // namespace HWY_NAMESPACE
} // namespace amgsrn
HWY_AFTER_NAMESPACE();
#endif
