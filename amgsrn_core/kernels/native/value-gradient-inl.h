// SPDX-License-Identifier: BSD-3-Clause
// A network's values and their derivatives with respect to the points, for one block of points: forward with
// the slopes of all features, then backward through the MLP for each output. Compiled once per instruction
// set (Google Highway's -inl.h convention).
#if defined(AMGSRN_VALUE_GRADIENT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AMGSRN_VALUE_GRADIENT_INL_H_
#undef AMGSRN_VALUE_GRADIENT_INL_H_
#else
#define AMGSRN_VALUE_GRADIENT_INL_H_
#endif

#include "amgsrn_kernels.h"
#include "backward-inl.h"
#include "block.h"
#include "encode-inl.h"
#include "mlp-inl.h"

#include <hwy/highway.h>

#include <algorithm>

#ifndef AMGSRN_VALUE_GRADIENT_TYPES_ // once, not once per instruction set
#define AMGSRN_VALUE_GRADIENT_TYPES_
namespace amgsrn
{

// What all threads share about the MLP.
struct BackwardLayers
{
  int inputs[AMGSRN_MAX_LAYERS];
  AlignedFloats transposed_weights[AMGSRN_MAX_LAYERS]; // [inputs][outputs]
  int widest;
};

// What a thread needs for itself.
struct GradientScratch
{
  AlignedFloats memory;
  float* inputs[AMGSRN_MAX_LAYERS]; // of each layer, [inputs][kBlock]; the first one's are the features
  float* feature_slopes;            // [grids * channels][3][kBlock], per node along x, y, z of the grid
  float* values;                    // [outputs of the last layer][kBlock]
  float* slopes;                    // [widest][kBlock]
  float* other_slopes;
};

inline bool PrepareLayers(const amgsrn_network& net, BackwardLayers& layers)
{
  int inputs = net.grids * net.channels;
  layers.widest = inputs;
  for (int layer = 0; layer < net.layers; ++layer)
  {
    const int outputs = net.outputs[layer];
    layers.inputs[layer] = inputs;
    layers.widest = std::max(layers.widest, outputs);
    layers.transposed_weights[layer] = Transposed(net.weights[layer], outputs, inputs);
    if (!layers.transposed_weights[layer])
    {
      return false;
    }
    inputs = outputs;
  }
  return true;
}

inline bool PrepareScratch(const amgsrn_network& net, const BackwardLayers& layers, GradientScratch& scratch)
{
  const std::size_t features = static_cast<std::size_t>(net.grids) * net.channels;
  const std::size_t outputs = net.outputs[net.layers - 1], widest = layers.widest;
  std::size_t rows = 3 * features + outputs + 2 * widest;
  for (int layer = 0; layer < net.layers; ++layer)
  {
    rows += layers.inputs[layer];
  }
  scratch.memory = AllocateFloats(rows * kBlock);
  if (!scratch.memory)
  {
    return false;
  }
  float* next = scratch.memory.get();
  const auto take = [&next](const std::size_t count)
  {
    float* const start = next;
    next += count * kBlock;
    return start;
  };
  for (int layer = 0; layer < net.layers; ++layer)
  {
    scratch.inputs[layer] = take(layers.inputs[layer]);
  }
  scratch.feature_slopes = take(3 * features);
  scratch.values = take(outputs);
  scratch.slopes = take(widest);
  scratch.other_slopes = take(widest);
  return true;
}

} // namespace amgsrn
#endif

HWY_BEFORE_NAMESPACE();
namespace amgsrn
{
namespace HWY_NAMESPACE
{

HWY_INLINE FloatVector Between(const FloatVector a, const FloatVector b, const FloatVector weight)
{
  return hn::MulAdd(hn::Sub(b, a), weight, a);
}

// One feature of the vector of points at `offset`, and its slopes [3][kBlock] per node along x, y, z, given
// the values at both ends of the cells' edges.
HWY_INLINE void Differentiate(const Cells& cells, const int offset, const FloatVector left[kEdges],
  const FloatVector right[kEdges], float* feature, float* slopes)
{
  const Floats d;
  const FloatVector x = hn::Load(d, cells.right_x + offset), y = hn::Load(d, cells.right_y + offset);
  const FloatVector z = hn::Load(d, cells.right_z + offset);
  const auto inside =
    hn::Gt(hn::Add(hn::Load(d, cells.left_z + offset), z), hn::Zero(d)); // else both are zero
  FloatVector rise[kEdges], line[kEdges];
  for (int edge = 0; edge < kEdges; ++edge)
  {
    rise[edge] = hn::Sub(right[edge], left[edge]);
    line[edge] = hn::MulAdd(rise[edge], x, left[edge]);
  }
  const FloatVector near = Between(line[0], line[1], y), far = Between(line[2], line[3], y);
  const FloatVector results[4] = {
    Between(near, far, z),
    Between(Between(rise[0], rise[1], y), Between(rise[2], rise[3], y), z),
    Between(hn::Sub(line[1], line[0]), hn::Sub(line[3], line[2]), z),
    hn::Sub(far, near),
  };
  hn::Store(hn::IfThenElseZero(inside, results[0]), d, feature + offset);
  for (int axis = 0; axis < 3; ++axis)
  {
    hn::Store(hn::IfThenElseZero(inside, results[axis + 1]), d, slopes + axis * kBlock + offset);
  }
}

// Features [channels][kBlock] of one grid and their slopes [channels][3][kBlock].
template <int kChannels>
HWY_INLINE void DifferentiateGrid(const amgsrn_network& net, const Strides& strides, const Cells& cells,
  const float* nodes, float* features, float* slopes)
{
  const Floats d;
  const Ints di;
  constexpr int kAtOnce = kChannels == 0 ? 1 : kChannels;
  Corners<kAtOnce> corners;
  if (kChannels != 0)
  {
    CopyCorners(cells, strides, nodes, corners);
  }
  for (int offset = 0; offset < kBlock; offset += Lanes())
  {
    const bool active = cells.active[offset / Lanes()];
    for (int first = 0; first < net.channels; first += kAtOnce)
    {
      FloatVector left[kEdges][kAtOnce], right[kEdges][kAtOnce];
      for (int edge = 0; edge < kEdges; ++edge)
      {
        if (!active)
        {
          std::fill_n(left[edge], kAtOnce, hn::Zero(d));
          std::fill_n(right[edge], kAtOnce, hn::Zero(d));
        }
        else if (kChannels != 0)
        {
          corners.Load(edge, offset, left[edge], right[edge]);
        }
        else
        {
          const IntVector node = hn::Load(di, cells.node + offset);
          const float* source = nodes + first + strides.edges[edge];
          left[edge][0] = hn::GatherIndex(d, source, node);
          right[edge][0] = hn::GatherIndex(d, source + strides.x, node);
        }
      }
      for (int i = 0; i < kAtOnce; ++i)
      {
        const FloatVector channel_left[kEdges] = { left[0][i], left[1][i], left[2][i], left[3][i] };
        const FloatVector channel_right[kEdges] = { right[0][i], right[1][i], right[2][i], right[3][i] };
        const std::size_t row = static_cast<std::size_t>(first + i) * kBlock;
        Differentiate(cells, offset, channel_left, channel_right, features + row, slopes + 3 * row);
      }
    }
  }
}

// Features [grids * channels][kBlock] of the points [3][kBlock], and their slopes.
HWY_INLINE void EncodeWithSlopes(
  const amgsrn_network& net, const float* points, float* features, float* slopes)
{
  const Strides strides(net);
  Cells cells;
  for (int grid = 0; grid < net.grids; ++grid)
  {
    FindCells(net, strides, net.transforms + 12 * grid, points, cells);
    const float* nodes = net.features + grid * strides.grid;
    const std::size_t row = static_cast<std::size_t>(grid) * net.channels * kBlock;
    switch (net.channels)
    {
      case 1:
        DifferentiateGrid<1>(net, strides, cells, nodes, features + row, slopes + 3 * row);
        break;
      case 2:
        DifferentiateGrid<2>(net, strides, cells, nodes, features + row, slopes + 3 * row);
        break;
      case 4:
        DifferentiateGrid<4>(net, strides, cells, nodes, features + row, slopes + 3 * row);
        break;
      default:
        DifferentiateGrid<0>(net, strides, cells, nodes, features + row, slopes + 3 * row);
    }
  }
}

// Slopes of one output with respect to the features, [grids * channels][kBlock].
HWY_INLINE const float* FeatureSlopes(
  const amgsrn_network& net, const BackwardLayers& layers, const int output, const GradientScratch& scratch)
{
  float* dx = scratch.slopes;
  float* dy = scratch.other_slopes;
  const int last = net.layers - 1, width = layers.inputs[last];
  for (int k = 0; k < width; ++k)
  {
    std::fill_n(dx + k * kBlock, kBlock, net.weights[last][static_cast<std::size_t>(output) * width + k]);
  }
  for (int layer = last - 1; layer >= 0; --layer)
  {
    ReluGradient(scratch.inputs[layer + 1], layers.inputs[layer + 1], dx);
    std::swap(dx, dy);
    Linear(layers.transposed_weights[layer].get(), nullptr, layers.inputs[layer], net.outputs[layer], dy, dx,
      false);
  }
  return dx;
}

// Slopes of one output along x, y, z of the domain, [3][kBlock], from those with respect to the features.
HWY_INLINE void PointSlopes(
  const amgsrn_network& net, const float* by_feature, const float* feature_slopes, float* gradient)
{
  const Floats d;
  const float half_sizes[3] = { 0.5f * (net.width - 1), 0.5f * (net.height - 1), 0.5f * (net.depth - 1) };
  for (int offset = 0; offset < kBlock; offset += static_cast<int>(hn::Lanes(d)))
  {
    FloatVector sums[3] = { hn::Zero(d), hn::Zero(d), hn::Zero(d) };
    for (int grid = 0; grid < net.grids; ++grid)
    {
      for (int axis = 0; axis < 3; ++axis)
      {
        FloatVector per_node = hn::Zero(d);
        for (int channel = 0; channel < net.channels; ++channel)
        {
          const std::size_t row = static_cast<std::size_t>(grid) * net.channels + channel;
          per_node = hn::MulAdd(hn::Load(d, by_feature + row * kBlock + offset),
            hn::Load(d, feature_slopes + (3 * row + axis) * kBlock + offset), per_node);
        }
        for (int k = 0; k < 3; ++k)
        {
          const float nodes = half_sizes[axis] * net.transforms[12 * grid + 4 * axis + k];
          sums[k] = hn::MulAdd(per_node, hn::Set(d, nodes), sums[k]);
        }
      }
    }
    for (int k = 0; k < 3; ++k)
    {
      hn::Store(sums[k], d, gradient + k * kBlock + offset);
    }
  }
}

// Features, their slopes and values of the points [3][kBlock], into `scratch`; OutputSlopes goes on from
// there.
HWY_INLINE void ForwardWithSlopes(const amgsrn_network& net, const BackwardLayers& layers,
  const float* points, const GradientScratch& scratch)
{
  EncodeWithSlopes(net, points, scratch.inputs[0], scratch.feature_slopes);
  for (int layer = 0; layer < net.layers; ++layer)
  {
    const bool last = layer + 1 == net.layers;
    Linear(net.weights[layer], net.biases[layer], net.outputs[layer], layers.inputs[layer],
      scratch.inputs[layer], last ? scratch.values : scratch.inputs[layer + 1], !last);
  }
}

// Slopes of one output along x, y, z of the domain, [3][kBlock].
HWY_INLINE void OutputSlopes(const amgsrn_network& net, const BackwardLayers& layers, const int output,
  const GradientScratch& scratch, float* gradient)
{
  PointSlopes(net, FeatureSlopes(net, layers, output, scratch), scratch.feature_slopes, gradient);
}

} // namespace HWY_NAMESPACE
} // namespace amgsrn
HWY_AFTER_NAMESPACE();
#endif
