// SPDX-License-Identifier: BSD-3-Clause
// Gradients of a network's parameters. Points are taken in chunks of bounded size. For each chunk, threads
// first share its blocks (MLP, recomputed), then the grids, so that no two threads add to one node and
// results do not depend on their order.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backward.cc"
#include <hwy/foreach_target.h> // must come before highway.h

#include "amgsrn_kernels.h"
#include "backward-inl.h"
#include "bf16.h"
#include "block.h"
#include "mlp-bf16-inl.h"

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
  bool bf16; // whether inner layers and all gradients are computed in bfloat16, with what follows
  Bf16Weights bf16_weights;
  Bf16Matrix bf16_transposed_weights[AMGSRN_MAX_LAYERS]; // [inputs][outputs]
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
  std::uint32_t* pairs[3]; // of bfloat16, each [widest stride][kBlock / 2]
  float* slopes;
  float* other_slopes;
  float* transforms;         // [grids][3][4][kLargestVector], or null: not wanted
  AlignedArray<Cells> cells; // [grids]
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

// gradient [outputs] += sums over points of dy [outputs][kBlock].
void AddBiasGradient(const float* dy, const int outputs, float* gradient)
{
  for (int row = 0; row < outputs; ++row)
  {
    float sum = 0.0f;
    for (int p = 0; p < kBlock; ++p)
    {
      sum += dy[row * kBlock + p];
    }
    gradient[row] += sum;
  }
}

// Forward and backward through the MLP for the block [3][kBlock] whose points are number `first`
// to `first + available`; the gradient with respect
// to the features goes to `features` [grids * channels][kBlock], the gradients of weights and biases are
// added to the scratch's.
void MlpGradient(const amgsrn_network& net, const MlpLayout& layout, const float* block,
  const std::int64_t first, const int available, const Loss& loss, MlpScratch& scratch, float* features)
{
  Encode(net, block, scratch.inputs[0], scratch.cells.get());
  float* dy = scratch.slopes;
  float* dx = scratch.other_slopes;
  for (int layer = 0; layer < net.layers; ++layer)
  {
    const bool last = layer + 1 == net.layers;
    if (last && loss.slopes)
    {
      break; // the slopes are given: the values are not needed
    }
#if AMGSRN_TARGET_HAS_BF16
    // Features and values are the ones in which rounding shows.
    if (layout.bf16 && layer > 0 && !last)
    {
      PackBlock(scratch.inputs[layer], layout.inputs[layer], scratch.pairs[0]);
      Bf16Linear<true>(layout.bf16_weights.weights[layer], layout.bf16_weights.biases[layer].get(),
        scratch.pairs[0], scratch.inputs[layer + 1]);
      continue;
    }
#endif
    Linear(net.weights[layer], net.biases[layer], net.outputs[layer], layout.inputs[layer],
      scratch.inputs[layer], last ? dy : scratch.inputs[layer + 1], !last);
  }
  LossSlopes(loss, first, available, net.outputs[net.layers - 1], dy, scratch.squared_error);
  for (int layer = net.layers - 1; layer >= 0; --layer)
  {
    const int rows = net.outputs[layer], inputs = layout.inputs[layer];
    if (net.biases[layer])
    {
      AddBiasGradient(dy, rows, scratch.biases[layer]);
    }
    float* const target = layer == 0 ? features : dx;
#if AMGSRN_TARGET_HAS_BF16
    if (layout.bf16)
    {
      Bf16WeightGradient(
        dy, rows, scratch.inputs[layer], inputs, layout.stride[layer], scratch.weights[layer], scratch.pairs);
      PackBlock(dy, rows, scratch.pairs[0]);
      Bf16Linear<false>(layout.bf16_transposed_weights[layer], nullptr, scratch.pairs[0], target);
    }
    else
#endif
    {
      Transpose(scratch.inputs[layer], inputs, scratch.transposed, layout.stride[layer]);
      WeightGradient(dy, rows, scratch.transposed, layout.stride[layer], inputs, scratch.weights[layer]);
      Linear(layout.transposed_weights[layer].get(), nullptr, inputs, rows, dy, target, false);
    }
    if (layer > 0)
    {
      ReluGradient(scratch.inputs[layer], inputs, dx);
      std::swap(dy, dx);
    }
  }
  // Here, because the grids' nodes around the block's points are still in the caches.
  if (scratch.transforms)
  {
    TransformGradient(net, scratch.cells.get(), block, features, scratch.transforms);
  }
}

// Adds what the points [blocks][3][kBlock] give to one grid's nodes.
void GridGradientOfBlocks(const amgsrn_network& net, const int grid, const float* points,
  const std::int64_t blocks, const float* slopes, float* nodes)
{
  const std::size_t features_per_block = static_cast<std::size_t>(net.grids) * net.channels * kBlock;
  GridGradient(net, grid, points, blocks, slopes + static_cast<std::size_t>(grid) * net.channels * kBlock,
    features_per_block, nodes);
}

// Whether MlpGradient can work in bfloat16 with this instruction set.
bool GradientHasBf16()
{
  return AMGSRN_TARGET_HAS_BF16;
}

} // namespace HWY_NAMESPACE
} // namespace amgsrn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "parallel.h"

#include <numeric>
#include <vector>

namespace amgsrn
{
HWY_EXPORT(MlpGradient);
HWY_EXPORT(GridGradientOfBlocks);
HWY_EXPORT(GradientHasBf16);

namespace
{

// Points per chunk: bounds the memory for the features' gradients, whatever the number of points.
constexpr std::int64_t kChunk = 1 << 14;
// Rows by which packed layers may be padded.
constexpr int kRowPadding = 16;
// Blocks per thread at which starting one pays.
constexpr std::int64_t kBlocksPerThread = 16;

bool MakeLayout(const amgsrn_network& net, const bool fast, MlpLayout& layout)
{
  layout.bf16 = fast && HasBf16() && HWY_DYNAMIC_DISPATCH(GradientHasBf16)();
  if (layout.bf16 && !MakeBf16Weights(net, layout.bf16_weights))
  {
    return false;
  }
  int inputs = net.grids * net.channels;
  layout.widest = inputs;
  for (int layer = 0; layer < net.layers; ++layer)
  {
    const int outputs = net.outputs[layer];
    layout.inputs[layer] = inputs;
    layout.stride[layer] = (inputs + kLargestVector - 1) / kLargestVector * kLargestVector;
    layout.widest = std::max(layout.widest, outputs);
    if (layout.bf16)
    {
      if (!MakeBf16Matrix(
            net.weights[layer], inputs, outputs, 1, inputs, layout.bf16_transposed_weights[layer]))
      {
        return false;
      }
      inputs = outputs;
      continue;
    }
    layout.transposed_weights[layer] = Transposed(net.weights[layer], outputs, inputs);
    if (!layout.transposed_weights[layer])
    {
      return false;
    }
    inputs = outputs;
  }
  return true;
}

bool MakeScratch(
  const amgsrn_network& net, const MlpLayout& layout, const bool transforms, MlpScratch& scratch)
{
  std::size_t activations = 2 * static_cast<std::size_t>(layout.widest) * kBlock, gradients = 0;
  std::size_t widest_stride = 0;
  for (int layer = 0; layer < net.layers; ++layer)
  {
    activations += static_cast<std::size_t>(layout.inputs[layer]) * kBlock;
    widest_stride = std::max<std::size_t>(widest_stride, layout.stride[layer]);
    gradients += static_cast<std::size_t>(net.outputs[layer]) * (layout.stride[layer] + kBlock);
  }
  // Transposed activations, or three arrays of pairs of bfloat16.
  const std::size_t rows = std::max<std::size_t>(widest_stride, layout.widest) + kRowPadding;
  const std::size_t pairs = rows * (kBlock / 2);
  const std::size_t of_transforms =
    transforms ? static_cast<std::size_t>(net.grids) * 12 * kLargestVector : 0;
  const std::size_t size = activations + widest_stride * kBlock + 3 * pairs + of_transforms + gradients;
  scratch.memory = AllocateFloats(size);
  scratch.cells = Allocate<Cells>(net.grids);
  if (!scratch.memory || !scratch.cells)
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
  scratch.transforms = transforms ? take(of_transforms) : nullptr;
  scratch.slopes = take(static_cast<std::size_t>(layout.widest) * kBlock);
  scratch.other_slopes = take(static_cast<std::size_t>(layout.widest) * kBlock);
  scratch.transposed = take(widest_stride * kBlock);
  for (std::uint32_t*& array : scratch.pairs)
  {
    array = reinterpret_cast<std::uint32_t*>(take(pairs));
  }
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
void AddShare(const amgsrn_network& net, const MlpLayout& layout, const MlpScratch& scratch,
  const amgsrn_gradients& gradients)
{
  for (int i = 0; scratch.transforms && i < 12 * net.grids; ++i)
  {
    const float* const lanes = scratch.transforms + i * kLargestVector;
    gradients.transforms[i] += std::accumulate(lanes, lanes + kLargestVector, 0.0f);
  }
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
  const amgsrn_gradients& gradients, const bool fast, const int threads, double& squared_error)
{
  const std::int64_t largest_chunk = std::min(kChunk, (count + kBlock - 1) / kBlock * kBlock);
  const std::size_t features_per_block = static_cast<std::size_t>(net.grids) * net.channels * kBlock;
  const std::size_t nodes_per_grid =
    static_cast<std::size_t>(net.depth + 2) * (net.height + 2) * (net.width + 2) * net.channels;
  const int team = TeamSize(threads, (count + kBlock - 1) / kBlock, kBlocksPerThread);
  MlpLayout layout;
  std::vector<MlpScratch> scratches(team);
  const AlignedFloats slopes = AllocateFloats(largest_chunk / kBlock * features_per_block);
  const AlignedFloats blocks = AllocateFloats(largest_chunk * 3);
  bool complete = MakeLayout(net, fast, layout) && slopes && blocks;
  for (MlpScratch& scratch : scratches)
  {
    complete = complete && MakeScratch(net, layout, gradients.transforms, scratch);
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
          const std::int64_t point = start + block * kBlock;
          const int available = static_cast<int>(std::min<std::int64_t>(kBlock, count - point));
          float* const block_points = blocks.get() + block * 3 * kBlock;
          LoadPoints(points + 3 * point, available, block_points);
          HWY_DYNAMIC_DISPATCH(MlpGradient)
          (net, layout, block_points, point, available, loss, scratches[thread],
            slopes.get() + block * features_per_block);
        }
      });
    ParallelShares(std::min(team, net.grids), net.grids,
      [&](int, const std::int64_t first, const std::int64_t end)
      {
        for (std::int64_t grid = first; grid < end; ++grid)
        {
          HWY_DYNAMIC_DISPATCH(GridGradientOfBlocks)
          (net, static_cast<int>(grid), blocks.get(), (size + kBlock - 1) / kBlock, slopes.get(),
            gradients.features + grid * nodes_per_grid);
        }
      });
  }
  for (const MlpScratch& scratch : scratches)
  {
    AddShare(net, layout, scratch, gradients);
    squared_error += scratch.squared_error;
  }
  return true;
}

} // namespace
} // namespace amgsrn

extern "C" int32_t amgsrn_backward(const amgsrn_network* network, const float* points, int64_t count,
  const float* value_gradients, const amgsrn_gradients* gradients, int32_t fast, int32_t threads)
{
  double unused = 0.0;
  const amgsrn::Loss loss = { value_gradients, nullptr, 0.0f };
  return amgsrn::AddGradients(*network, points, count, loss, *gradients, fast, threads, unused) ? 0 : 1;
}

extern "C" int32_t amgsrn_squared_error(const amgsrn_network* network, const float* points, int64_t count,
  const float* targets, const amgsrn_gradients* gradients, double* mean_squared_error, int32_t fast,
  int32_t threads)
{
  const double values = static_cast<double>(count) * network->outputs[network->layers - 1];
  const amgsrn::Loss loss = { nullptr, targets, static_cast<float>(2.0 / values) };
  double sum = 0.0;
  if (!amgsrn::AddGradients(*network, points, count, loss, *gradients, fast, threads, sum))
  {
    return 1;
  }
  *mean_squared_error = sum / values;
  return 0;
}
#endif
