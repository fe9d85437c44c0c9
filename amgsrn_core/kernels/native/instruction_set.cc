// SPDX-License-Identifier: BSD-3-Clause
// Restricting the kernels to one instruction set, for tests and measurements.
#include "amgsrn_kernels.h"

#include <hwy/highway.h>

#include <cstring>
#include <string>

namespace
{

struct InstructionSet
{
  const char* name;
  std::int64_t targets;
};

constexpr std::int64_t kPortable = HWY_SCALAR | HWY_EMU128;

constexpr InstructionSet kInstructionSets[] = {
  { "portable", kPortable },
  { "ssse3", HWY_SSSE3 },
  { "sse4", HWY_SSE4 },
  { "avx2", HWY_AVX2 },
  { "avx512", HWY_AVX3 | HWY_AVX3_DL },
  { "neon", HWY_NEON },
};

// Targets that this library holds and this processor has, whatever was chosen before.
std::int64_t AvailableTargets()
{
  hwy::SetSupportedTargetsForTest(0);
  return HWY_TARGETS & (hwy::SupportedTargets() | kPortable);
}

} // namespace

extern "C" const char* amgsrn_instruction_sets(void)
{
  static const std::string names = []
  {
    std::string list;
    for (const InstructionSet& set : kInstructionSets)
    {
      if (set.targets & AvailableTargets())
      {
        list += (list.empty() ? "" : ",") + std::string(set.name);
      }
    }
    return list;
  }();
  return names.c_str();
}

extern "C" int32_t amgsrn_use_instruction_set(const char* name)
{
  std::int64_t chosen = name ? 0 : AvailableTargets();
  for (const InstructionSet& set : kInstructionSets)
  {
    if (name && std::strcmp(name, set.name) == 0)
    {
      chosen = set.targets & AvailableTargets();
    }
  }
  if (!chosen)
  {
    return 1;
  }
  hwy::SetSupportedTargetsForTest(name ? chosen : 0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  return 0;
}
