// SPDX-License-Identifier: BSD-3-Clause
// Inference: encode and MLP fused per block of points, so that nothing but points and values touches main
// memory.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "infer.cc"
#include <hwy/foreach_target.h> // must come before highway.h

#include "amgsrn_kernels.h"
#include "block.h"
#include "infer-inl.h"

#include <hwy/highway.h>

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace amgsrn
{
namespace HWY_NAMESPACE
{

// Values of the points of blocks [first, end); see InferBlock.
void InferBlocks(const amgsrn_network& net, const Bf16Weights* bf16, const float* points,
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
    const float* results = InferBlock(net, bf16, block, scratch);
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
#include <new>

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

bool BenefitsFromBf16(const amgsrn_network& net)
{
  return net.layers > 2 && CanUseBf16();
}
} // namespace amgsrn

extern "C" int32_t amgsrn_interface_version(void)
{
  return 9;
}

extern "C" const char* amgsrn_instruction_set(void)
{
  return HWY_DYNAMIC_DISPATCH(amgsrn::InstructionSet)();
}

extern "C" int32_t amgsrn_has_bf16(void)
{
  return amgsrn::CanUseBf16() ? 1 : 0;
}

extern "C" void* amgsrn_make_fast(const amgsrn_network* network)
{
  using namespace amgsrn;
  if (!BenefitsFromBf16(*network))
  {
    return nullptr;
  }
  std::unique_ptr<Bf16Weights> weights(new (std::nothrow) Bf16Weights);
  return weights && MakeBf16Weights(*network, *weights) ? weights.release() : nullptr;
}

extern "C" void amgsrn_free_fast(void* fast)
{
  delete static_cast<amgsrn::Bf16Weights*>(fast);
}

extern "C" int32_t amgsrn_infer(const amgsrn_network* network, const float* points, int64_t count,
  float* values, int32_t fast, int32_t threads)
{
  using namespace amgsrn;
  const std::int64_t blocks = (count + kBlock - 1) / kBlock;
  const std::int64_t chunks = (blocks + kChunk - 1) / kChunk;
  const std::size_t widest = WidestRow(*network);
  Bf16Weights bf16;
  const bool use_bf16 = fast && BenefitsFromBf16(*network);
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
