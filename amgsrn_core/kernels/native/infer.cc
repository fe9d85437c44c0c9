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
#include <omp.h>

namespace amgsrn
{
HWY_EXPORT(InferBlocks);
HWY_EXPORT(InstructionSet);

// Blocks that a thread takes at a time.
constexpr std::int64_t kChunk = 8;
} // namespace amgsrn

extern "C" int32_t amgsrn_interface_version(void)
{
  return 4;
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
  const int widest = std::max(network->grids * network->channels,
    *std::max_element(network->outputs, network->outputs + network->layers));
  const int team = static_cast<int>(
    std::min<std::int64_t>(threads > 0 ? threads : omp_get_num_procs(), std::max<std::int64_t>(chunks, 1)));
  int failed = 0;
#pragma omp parallel num_threads(team) reduction(| : failed)
  {
    const AlignedFloats scratch = AllocateFloats(2 * static_cast<std::size_t>(widest) * kBlock);
    failed = scratch ? 0 : 1;
#pragma omp for schedule(dynamic)
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk)
    {
      if (scratch)
      {
        HWY_DYNAMIC_DISPATCH(InferBlocks)
        (*network, points, count, values, chunk * kChunk, std::min(blocks, (chunk + 1) * kChunk),
          scratch.get(), scratch.get() + static_cast<std::size_t>(widest) * kBlock);
      }
    }
  }
  return failed;
}
#endif
