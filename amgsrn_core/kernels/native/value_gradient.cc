// SPDX-License-Identifier: BSD-3-Clause
// Values and their derivatives with respect to the points, for shading. Fused per block of points.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "value_gradient.cc"
#include <hwy/foreach_target.h> // must come before highway.h

#include "amgsrn_kernels.h"
#include "block.h"
#include "value-gradient-inl.h"

#include <hwy/highway.h>

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace amgsrn
{
namespace HWY_NAMESPACE
{

// Values and gradients of the points of blocks [first, end).
void DifferentiateBlocks(const amgsrn_network& net, const BackwardLayers& layers, const float* points,
  const std::int64_t count, float* values, float* gradients, const std::int64_t first, const std::int64_t end,
  const GradientScratch& scratch)
{
  HWY_ALIGN float block[3 * kBlock];
  HWY_ALIGN float gradient[3 * kBlock];
  const int outputs = net.outputs[net.layers - 1];
  for (std::int64_t b = first; b < end; ++b)
  {
    const std::int64_t start = b * kBlock;
    const int available = static_cast<int>(std::min<std::int64_t>(kBlock, count - start));
    LoadPoints(points + 3 * start, available, block);
    ForwardWithSlopes(net, layers, block, scratch);
    for (int o = 0; o < outputs; ++o)
    {
      OutputSlopes(net, layers, o, scratch, gradient);
      for (int p = 0; p < available; ++p)
      {
        const std::int64_t index = (start + p) * outputs + o;
        values[index] = scratch.values[o * kBlock + p];
        for (int axis = 0; axis < 3; ++axis)
        {
          gradients[3 * index + axis] = gradient[axis * kBlock + p];
        }
      }
    }
  }
}

} // namespace HWY_NAMESPACE
} // namespace amgsrn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "parallel.h"

#include <atomic>

namespace amgsrn
{
HWY_EXPORT(DifferentiateBlocks);

namespace
{

// Blocks that a thread takes at a time; blocks outside all grids are cheaper than others.
constexpr std::int64_t kChunk = 8;
// Chunks per thread at which starting one pays.
constexpr std::int64_t kChunksPerThread = 2;

} // namespace
} // namespace amgsrn

extern "C" int32_t amgsrn_value_gradient(const amgsrn_network* network, const float* points, int64_t count,
  float* values, float* gradients, int32_t threads)
{
  using namespace amgsrn;
  BackwardLayers layers;
  if (!PrepareLayers(*network, layers))
  {
    return 1;
  }
  const std::int64_t blocks = (count + kBlock - 1) / kBlock;
  const std::int64_t chunks = (blocks + kChunk - 1) / kChunk;
  std::atomic<bool> failed{ false };
  std::atomic<std::int64_t> next{ 0 };
  const int team = TeamSize(threads, chunks, kChunksPerThread);
  ParallelShares(team, team,
    [&](int, std::int64_t, std::int64_t)
    {
      GradientScratch scratch;
      if (!PrepareScratch(*network, layers, scratch))
      {
        failed = true;
        return;
      }
      for (std::int64_t chunk = next++; chunk < chunks; chunk = next++)
      {
        HWY_DYNAMIC_DISPATCH(DifferentiateBlocks)
        (*network, layers, points, count, values, gradients, chunk * kChunk,
          std::min(blocks, (chunk + 1) * kChunk), scratch);
      }
    });
  return failed ? 1 : 0;
}
#endif
