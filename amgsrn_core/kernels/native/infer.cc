// SPDX-License-Identifier: BSD-3-Clause
// Inference: encode and MLP fused per block of points, so that nothing but points and values touches main
// memory.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "infer.cc"
#include <hwy/foreach_target.h> // must come before highway.h

#include "amgsrn_kernels.h"
#include "block.h"
#include "encode-inl.h"
#include "mlp-inl.h"

#include <hwy/highway.h>

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace amgsrn
{
namespace HWY_NAMESPACE
{

// Values of the points of blocks [first, end). `x` and `y` are scratch of [widest layer][kBlock] each.
void InferBlocks(const amgsrn_network& net, const float* points, const std::int64_t count, float* values,
  const std::int64_t first, const std::int64_t end, float* x, float* y)
{
  HWY_ALIGN float block[3 * kBlock];
  const int outputs = net.outputs[net.layers - 1];
  for (std::int64_t b = first; b < end; ++b)
  {
    const std::int64_t start = b * kBlock;
    const int available = static_cast<int>(std::min<std::int64_t>(kBlock, count - start));
    LoadPoints(points + 3 * start, available, block);
    Encode(net, block, x);
    int inputs = net.grids * net.channels;
    for (int layer = 0; layer < net.layers; ++layer)
    {
      Linear(net.weights[layer], net.biases[layer], net.outputs[layer], inputs, x, y, layer + 1 < net.layers);
      inputs = net.outputs[layer];
      std::swap(x, y);
    }
    for (int p = 0; p < available; ++p)
    {
      for (int o = 0; o < outputs; ++o)
      {
        values[(start + p) * outputs + o] = x[o * kBlock + p];
      }
    }
  }
}

const char* InstructionSet()
{
  return hwy::TargetName(HWY_TARGET);
}

} // namespace HWY_NAMESPACE
} // namespace amgsrn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "parallel.h"

#include <atomic>

namespace amgsrn
{
HWY_EXPORT(InferBlocks);
HWY_EXPORT(InstructionSet);

// Blocks that a thread takes at a time; blocks outside all grids are cheaper than others.
constexpr std::int64_t kChunk = 8;
// Chunks per thread at which starting one pays.
constexpr std::int64_t kChunksPerThread = 2;
} // namespace amgsrn

extern "C" int32_t amgsrn_interface_version(void)
{
  return 6;
}

extern "C" const char* amgsrn_instruction_set(void)
{
  return HWY_DYNAMIC_DISPATCH(amgsrn::InstructionSet)();
}

extern "C" int32_t amgsrn_infer(
  const amgsrn_network* network, const float* points, int64_t count, float* values, int32_t threads)
{
  using namespace amgsrn;
  const std::int64_t blocks = (count + kBlock - 1) / kBlock;
  const std::int64_t chunks = (blocks + kChunk - 1) / kChunk;
  const std::size_t widest = std::max(network->grids * network->channels,
    *std::max_element(network->outputs, network->outputs + network->layers));
  std::atomic<bool> failed{ false };
  std::atomic<std::int64_t> next{ 0 };
  const int team = TeamSize(threads, chunks, kChunksPerThread);
  ParallelShares(team, team,
    [&](int, std::int64_t, std::int64_t)
    {
      const AlignedFloats scratch = AllocateFloats(2 * widest * kBlock);
      if (!scratch)
      {
        failed = true;
        return;
      }
      for (std::int64_t chunk = next++; chunk < chunks; chunk = next++)
      {
        HWY_DYNAMIC_DISPATCH(InferBlocks)
        (*network, points, count, values, chunk * kChunk, std::min(blocks, (chunk + 1) * kChunk),
          scratch.get(), scratch.get() + widest * kBlock);
      }
    });
  return failed ? 1 : 0;
}
#endif
