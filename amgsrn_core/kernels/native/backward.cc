// SPDX-License-Identifier: BSD-3-Clause
// Gradients of a network's parameters. Points are taken in chunks of bounded size. For each chunk, threads
// first share its blocks (MLP, recomputed), then the grids, so that no two threads add to one node and
// results do not depend on their order.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backward.cc"
#include <hwy/foreach_target.h> // must come before highway.h

#include "amgsrn_kernels.h"
#include "backward-inl.h"
#include "block.h"

#include <hwy/highway.h>

#include <algorithm>

#ifndef AMGSRN_BACKWARD_TYPES_ // this file is included once per instruction set
#define AMGSRN_BACKWARD_TYPES_
namespace amgsrn
{

// What all threads share about the MLP.
struct MlpLayout
{
  int inputs[AMGSRN_MAX_LAYERS];
  int stride[AMGSRN_MAX_LAYERS];                       // inputs, padded to whole vectors
  AlignedFloats transposed_weights[AMGSRN_MAX_LAYERS]; // [inputs][outputs]
  int widest;
};

// What a thread needs for itself: [..][kBlock] arrays, and its share of the gradients ([outputs][stride],
// [outputs]).
struct MlpScratch
{
  AlignedFloats memory;
  float* inputs[AMGSRN_MAX_LAYERS];
  float* weights[AMGSRN_MAX_LAYERS];
  float* biases[AMGSRN_MAX_LAYERS];
  float* transposed;
  float* slopes;
  float* other_slopes;
  double squared_error;
};

// What the loss is: given slopes, or the mean squared error to given targets ([count][outputs] either).
struct Loss
{
  const float* slopes;
  const float* targets;
  float scale; // of the squared error's slope
};

} // namespace amgsrn
#endif

HWY_BEFORE_NAMESPACE();
namespace amgsrn
{
namespace HWY_NAMESPACE
{

// Slopes of the loss with respect to the last layer's outputs y [outputs][kBlock], in place.
void LossSlopes(const Loss& loss, const std::int64_t first, const int available, const int outputs, float* y,
  double& squared_error)
{
  for (int o = 0; o < outputs; ++o)
  {
    for (int p = 0; p < kBlock; ++p)
    {
      const std::int64_t index = (first + p) * outputs + o;
      float& value = y[o * kBlock + p];
      if (p >= available)
      {
        value = 0.0f; // points that only fill the block up have no influence
      }
      else if (loss.slopes)
      {
        value = loss.slopes[index];
      }
      else
      {
        const float error = value - loss.targets[index];
        squared_error += static_cast<double>(error) * error;
        value = loss.scale * error;
      }
    }
  }
}

// Forward and backward through the MLP for the block that starts at point `first`; the gradient with respect
// to the features goes to `features` [grids * channels][kBlock], the gradients of weights and biases are
// added to the scratch's.
void MlpGradient(const amgsrn_network& net, const MlpLayout& layout, const float* points,
  const std::int64_t first, const int available, const Loss& loss, MlpScratch& scratch, float* features)
{
  HWY_ALIGN float block[3 * kBlock];
  LoadPoints(points + 3 * first, available, block);
  Encode(net, block, scratch.inputs[0]);
  float* dy = scratch.slopes;
  float* dx = scratch.other_slopes;
  for (int layer = 0; layer < net.layers; ++layer)
  {
    const bool last = layer + 1 == net.layers;
    if (!last || !loss.slopes)
    {
      Linear(net.weights[layer], net.biases[layer], net.outputs[layer], layout.inputs[layer],
        scratch.inputs[layer], last ? dy : scratch.inputs[layer + 1], !last);
    }
  }
  LossSlopes(loss, first, available, net.outputs[net.layers - 1], dy, scratch.squared_error);
  for (int layer = net.layers - 1; layer >= 0; --layer)
  {
    const int rows = net.outputs[layer], inputs = layout.inputs[layer];
    Transpose(scratch.inputs[layer], inputs, scratch.transposed, layout.stride[layer]);
    WeightGradient(dy, rows, scratch.transposed, layout.stride[layer], inputs, scratch.weights[layer]);
    if (net.biases[layer])
    {
      for (int row = 0; row < rows; ++row)
      {
        float sum = 0.0f;
        for (int p = 0; p < kBlock; ++p)
        {
          sum += dy[row * kBlock + p];
        }
        scratch.biases[layer][row] += sum;
      }
    }
    Linear(
      layout.transposed_weights[layer].get(), nullptr, inputs, rows, dy, layer == 0 ? features : dx, false);
    if (layer > 0)
    {
      ReluGradient(scratch.inputs[layer], inputs, dx);
      std::swap(dy, dx);
    }
  }
}

// Adds what blocks [0, blocks) of a chunk give to one grid.
void GridGradientOfBlocks(const amgsrn_network& net, const int grid, const float* points,
  const std::int64_t count, const float* slopes, float* nodes, float* transform)
{
  HWY_ALIGN float block[3 * kBlock];
  const std::size_t features = static_cast<std::size_t>(net.grids) * net.channels * kBlock;
  for (std::int64_t start = 0; start < count; start += kBlock)
  {
    LoadPoints(points + 3 * start, std::min<std::int64_t>(kBlock, count - start), block);
    GridGradient(
      net, grid, block, slopes + start / kBlock * features + grid * net.channels * kBlock, nodes, transform);
  }
}

} // namespace HWY_NAMESPACE
} // namespace amgsrn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "parallel.h"

#include <vector>

namespace amgsrn
{
HWY_EXPORT(MlpGradient);
HWY_EXPORT(GridGradientOfBlocks);

namespace
{

// Points per chunk: bounds the memory for the features' gradients, whatever the number of points.
constexpr std::int64_t kChunk = 1 << 14;
// Blocks per thread at which starting one pays.
constexpr std::int64_t kBlocksPerThread = 16;

bool MakeLayout(const amgsrn_network& net, MlpLayout& layout)
{
  int inputs = net.grids * net.channels;
  layout.widest = inputs;
  for (int layer = 0; layer < net.layers; ++layer)
  {
    const int outputs = net.outputs[layer];
    layout.inputs[layer] = inputs;
    layout.stride[layer] = (inputs + kBlock - 1) / kBlock * kBlock;
    layout.widest = std::max(layout.widest, outputs);
    layout.transposed_weights[layer] = AllocateFloats(static_cast<std::size_t>(inputs) * outputs);
    if (!layout.transposed_weights[layer])
    {
      return false;
    }
    for (int row = 0; row < outputs; ++row)
    {
      for (int column = 0; column < inputs; ++column)
      {
        layout.transposed_weights[layer][column * outputs + row] = net.weights[layer][row * inputs + column];
      }
    }
    inputs = outputs;
  }
  return true;
}

bool MakeScratch(const amgsrn_network& net, const MlpLayout& layout, MlpScratch& scratch)
{
  std::size_t activations = 2 * static_cast<std::size_t>(layout.widest) * kBlock, gradients = 0;
  std::size_t widest_stride = 0;
  for (int layer = 0; layer < net.layers; ++layer)
  {
    activations += static_cast<std::size_t>(layout.inputs[layer]) * kBlock;
    widest_stride = std::max<std::size_t>(widest_stride, layout.stride[layer]);
    gradients += static_cast<std::size_t>(net.outputs[layer]) * (layout.stride[layer] + kBlock);
  }
  const std::size_t size = activations + widest_stride * kBlock + gradients;
  scratch.memory = AllocateFloats(size);
  if (!scratch.memory)
  {
    return false;
  }
  std::fill_n(scratch.memory.get(), size, 0.0f);
  float* next = scratch.memory.get();
  const auto take = [&next](const std::size_t count)
  {
    float* const start = next;
    next += count;
    return start;
  };
  scratch.squared_error = 0.0;
  scratch.slopes = take(static_cast<std::size_t>(layout.widest) * kBlock);
  scratch.other_slopes = take(static_cast<std::size_t>(layout.widest) * kBlock);
  scratch.transposed = take(widest_stride * kBlock);
  for (int layer = 0; layer < net.layers; ++layer)
  {
    scratch.inputs[layer] = take(static_cast<std::size_t>(layout.inputs[layer]) * kBlock);
  }
  for (int layer = 0; layer < net.layers; ++layer)
  {
    scratch.weights[layer] = take(static_cast<std::size_t>(net.outputs[layer]) * layout.stride[layer]);
    // A multiple of kBlock floats, so that what follows stays aligned.
    scratch.biases[layer] = take(static_cast<std::size_t>(net.outputs[layer]) * kBlock);
  }
  return true;
}

// Adds one thread's share; called in the threads' order, so that a sum does not depend on which thread is
// first.
void AddMlpGradients(const amgsrn_network& net, const MlpLayout& layout, const MlpScratch& scratch,
  const amgsrn_gradients& gradients)
{
  for (int layer = 0; layer < net.layers; ++layer)
  {
    const int inputs = layout.inputs[layer];
    for (int row = 0; row < net.outputs[layer]; ++row)
    {
      for (int column = 0; column < inputs; ++column)
      {
        gradients.weights[layer][row * inputs + column] +=
          scratch.weights[layer][row * layout.stride[layer] + column];
      }
      if (net.biases[layer])
      {
        gradients.biases[layer][row] += scratch.biases[layer][row];
      }
    }
  }
}

bool AddGradients(const amgsrn_network& net, const float* points, const std::int64_t count, const Loss& loss,
  const amgsrn_gradients& gradients, const int threads, double& squared_error)
{
  const std::int64_t largest_chunk = std::min(kChunk, (count + kBlock - 1) / kBlock * kBlock);
  const std::size_t features_per_block = static_cast<std::size_t>(net.grids) * net.channels * kBlock;
  const std::size_t nodes_per_grid =
    static_cast<std::size_t>(net.depth + 2) * (net.height + 2) * (net.width + 2) * net.channels;
  const int team = TeamSize(threads, (count + kBlock - 1) / kBlock, kBlocksPerThread);
  MlpLayout layout;
  std::vector<MlpScratch> scratches(team);
  const AlignedFloats slopes = AllocateFloats(largest_chunk / kBlock * features_per_block);
  bool complete = MakeLayout(net, layout) && slopes;
  for (MlpScratch& scratch : scratches)
  {
    complete = complete && MakeScratch(net, layout, scratch);
  }
  if (!complete)
  {
    return false;
  }
  for (std::int64_t start = 0; start < count; start += kChunk)
  {
    const std::int64_t size = std::min(kChunk, count - start);
    ParallelShares(team, (size + kBlock - 1) / kBlock,
      [&](const int thread, const std::int64_t first, const std::int64_t end)
      {
        for (std::int64_t block = first; block < end; ++block)
        {
          const int available = static_cast<int>(std::min<std::int64_t>(kBlock, size - block * kBlock));
          HWY_DYNAMIC_DISPATCH(MlpGradient)
          (net, layout, points, start + block * kBlock, available, loss, scratches[thread],
            slopes.get() + block * features_per_block);
        }
      });
    ParallelShares(std::min(team, net.grids), net.grids,
      [&](int, const std::int64_t first, const std::int64_t end)
      {
        for (std::int64_t grid = first; grid < end; ++grid)
        {
          HWY_DYNAMIC_DISPATCH(GridGradientOfBlocks)
          (net, static_cast<int>(grid), points + 3 * start, size, slopes.get(),
            gradients.features + grid * nodes_per_grid,
            gradients.transforms ? gradients.transforms + 12 * grid : nullptr);
        }
      });
  }
  for (const MlpScratch& scratch : scratches)
  {
    AddMlpGradients(net, layout, scratch, gradients);
    squared_error += scratch.squared_error;
  }
  return true;
}

} // namespace
} // namespace amgsrn

extern "C" int32_t amgsrn_backward(const amgsrn_network* network, const float* points, int64_t count,
  const float* value_gradients, const amgsrn_gradients* gradients, int32_t threads)
{
  double unused = 0.0;
  const amgsrn::Loss loss = { value_gradients, nullptr, 0.0f };
  return amgsrn::AddGradients(*network, points, count, loss, *gradients, threads, unused) ? 0 : 1;
}

extern "C" int32_t amgsrn_squared_error(const amgsrn_network* network, const float* points, int64_t count,
  const float* targets, const amgsrn_gradients* gradients, double* mean_squared_error, int32_t threads)
{
  const double values = static_cast<double>(count) * network->outputs[network->layers - 1];
  const amgsrn::Loss loss = { nullptr, targets, static_cast<float>(2.0 / values) };
  double sum = 0.0;
  if (!amgsrn::AddGradients(*network, points, count, loss, *gradients, threads, sum))
  {
    return 1;
  }
  *mean_squared_error = sum / values;
  return 0;
}
#endif
