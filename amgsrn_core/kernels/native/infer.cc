// SPDX-License-Identifier: BSD-3-Clause
// Inference: encode and MLP fused per block of points, so that nothing but points and values touches main
// memory.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "infer.cc"
#include <hwy/foreach_target.h> // must come before highway.h

#include "amgsrn_kernels.h"
#include "block.h"
#include "encode-inl.h"
#include "mlp-bf16-inl.h"
#include "mlp-inl.h"

#include <hwy/highway.h>

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace amgsrn
{
namespace HWY_NAMESPACE
{

// The MLP in float32: features [inputs][kBlock] in `x` -> values [outputs][kBlock]; returns where they are,
// `x` or `y`.
HWY_INLINE const float* FloatMlp(const amgsrn_network& net, float* x, float* y)
{
  int inputs = net.grids * net.channels;
  for (int layer = 0; layer < net.layers; ++layer)
  {
    Linear(net.weights[layer], net.biases[layer], net.outputs[layer], inputs, x, y, layer + 1 < net.layers);
    inputs = net.outputs[layer];
    std::swap(x, y);
  }
  return x;
}

// Values of the points of blocks [first, end). `scratch` is three arrays of [widest layer][kBlock]. `bf16` is
// null for float32.
void InferBlocks(const amgsrn_network& net, [[maybe_unused]] const Bf16Weights* bf16, const float* points,
  const std::int64_t count, float* values, const std::int64_t first, const std::int64_t end,
  float* const scratch[3])
{
  HWY_ALIGN float block[3 * kBlock];
  const int outputs = net.outputs[net.layers - 1];
  for (std::int64_t b = first; b < end; ++b)
  {
    const std::int64_t start = b * kBlock;
    const int available = static_cast<int>(std::min<std::int64_t>(kBlock, count - start));
    LoadPoints(points + 3 * start, available, block);
    Encode(net, block, scratch[0]);
    const float* results = scratch[0];
#if AMGSRN_TARGET_HAS_BF16
    if (bf16)
    {
      Bf16Mlp(*bf16, scratch[0], net.grids * net.channels, reinterpret_cast<std::uint32_t*>(scratch[1]),
        reinterpret_cast<std::uint32_t*>(scratch[2]), scratch[0]);
    }
    else
#endif
    {
      results = FloatMlp(net, scratch[0], scratch[1]);
    }
    for (int p = 0; p < available; ++p)
    {
      for (int o = 0; o < outputs; ++o)
      {
        values[(start + p) * outputs + o] = results[o * kBlock + p];
      }
    }
  }
}

// Whether Bf16Mlp exists for this instruction set (whether the processor has what it needs is another
// matter).
bool TargetHasBf16()
{
  return AMGSRN_TARGET_HAS_BF16;
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
HWY_EXPORT(TargetHasBf16);

// Blocks that a thread takes at a time; blocks outside all grids are cheaper than others.
constexpr std::int64_t kChunk = 8;
// Chunks per thread at which starting one pays.
constexpr std::int64_t kChunksPerThread = 2;

bool CanUseBf16()
{
  return HasBf16() && HWY_DYNAMIC_DISPATCH(TargetHasBf16)();
}
} // namespace amgsrn

extern "C" int32_t amgsrn_interface_version(void)
{
  return 8;
}

extern "C" const char* amgsrn_instruction_set(void)
{
  return HWY_DYNAMIC_DISPATCH(amgsrn::InstructionSet)();
}

extern "C" int32_t amgsrn_has_bf16(void)
{
  return amgsrn::CanUseBf16() ? 1 : 0;
}

extern "C" int32_t amgsrn_infer(const amgsrn_network* network, const float* points, int64_t count,
  float* values, int32_t fast, int32_t threads)
{
  using namespace amgsrn;
  const std::int64_t blocks = (count + kBlock - 1) / kBlock;
  const std::int64_t chunks = (blocks + kChunk - 1) / kChunk;
  // Packed bfloat16 layers are padded by up to three rows.
  const std::size_t widest = 4 +
    std::max(network->grids * network->channels,
      *std::max_element(network->outputs, network->outputs + network->layers));
  Bf16Weights bf16;
  const bool use_bf16 = fast && CanUseBf16();
  if (use_bf16 && !MakeBf16Weights(*network, bf16))
  {
    return 1;
  }
  std::atomic<bool> failed{ false };
  std::atomic<std::int64_t> next{ 0 };
  const int team = TeamSize(threads, chunks, kChunksPerThread);
  ParallelShares(team, team,
    [&](int, std::int64_t, std::int64_t)
    {
      const AlignedFloats memory = AllocateFloats(3 * widest * kBlock);
      if (!memory)
      {
        failed = true;
        return;
      }
      float* const scratch[3] = { memory.get(), memory.get() + widest * kBlock,
        memory.get() + 2 * widest * kBlock };
      for (std::int64_t chunk = next++; chunk < chunks; chunk = next++)
      {
        HWY_DYNAMIC_DISPATCH(InferBlocks)
        (*network, use_bf16 ? &bf16 : nullptr, points, count, values, chunk * kChunk,
          std::min(blocks, (chunk + 1) * kChunk), scratch);
      }
    });
  return failed ? 1 : 0;
}
#endif
