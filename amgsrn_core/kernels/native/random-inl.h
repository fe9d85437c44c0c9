// SPDX-License-Identifier: BSD-3-Clause
// Random numbers that depend on nothing but a counter and a key: Philox4x32-10 (Salmon et al., "Parallel
// random numbers: as easy as 1, 2, 3", 2011). Compiled once per instruction set.
#if defined(AMGSRN_RANDOM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AMGSRN_RANDOM_INL_H_
#undef AMGSRN_RANDOM_INL_H_
#else
#define AMGSRN_RANDOM_INL_H_
#endif

#include "block.h"

#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace amgsrn
{
namespace HWY_NAMESPACE
{

template <int Rounds>
HWY_INLINE void PhiloxRounds(std::uint32_t (&c)[4], const std::uint32_t key0, const std::uint32_t key1)
{
  const std::uint64_t a = std::uint64_t{ 0xD2511F53u } * c[0], b = std::uint64_t{ 0xCD9E8D57u } * c[2];
  const std::uint32_t c1 = c[1], c3 = c[3];
  c[0] = static_cast<std::uint32_t>(b >> 32) ^ c1 ^ key0;
  c[1] = static_cast<std::uint32_t>(b);
  c[2] = static_cast<std::uint32_t>(a >> 32) ^ c3 ^ key1;
  c[3] = static_cast<std::uint32_t>(a);
  // Not a loop, so that the compiler turns the loop over points into vectors.
  if constexpr (Rounds > 1)
  {
    PhiloxRounds<Rounds - 1>(c, key0 + 0x9E3779B9u, key1 + 0xBB67AE85u);
  }
}

// Three random numbers of 24 bits each for the points first, first + 1, ... of a block, as [3][kBlock].
// Points and steps are the counter, the seed is the key.
HWY_INLINE void RandomBlock(
  const std::uint64_t first, const std::uint64_t step, const std::uint64_t seed, std::int32_t* numbers)
{
  for (int p = 0; p < kBlock; ++p)
  {
    const std::uint64_t point = first + static_cast<std::uint64_t>(p);
    std::uint32_t c[4] = { static_cast<std::uint32_t>(point), static_cast<std::uint32_t>(point >> 32),
      static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(step >> 32) };
    PhiloxRounds<10>(c, static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
    for (int axis = 0; axis < 3; ++axis)
    {
      numbers[axis * kBlock + p] = static_cast<std::int32_t>(c[axis] >> 8);
    }
  }
}

} // namespace HWY_NAMESPACE
} // namespace amgsrn
HWY_AFTER_NAMESPACE();
#endif
