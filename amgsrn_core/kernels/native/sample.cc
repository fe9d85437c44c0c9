// SPDX-License-Identifier: BSD-3-Clause
// Training samples of a volume: one random point per cell of a lattice, in an order in which neighbours in
// memory are neighbours in space, so that the kernels that follow find their grid nodes in the cache.
#include "amgsrn_kernels.h"
#include "block.h"
#include "parallel.h"

#include <algorithm>
#include <cmath>

namespace amgsrn
{
namespace
{

// A block of points is this many cells along each axis.
constexpr int kBrick = 4;
// Bricks per thread at which starting one pays.
constexpr std::int64_t kBricksPerThread = 256;
static_assert(kBrick * kBrick * kBrick == kBlock, "a brick is a block of points");

// SplitMix64's finalizer: a counter in, random bits out, so that every sample can be drawn on its own.
std::uint64_t RandomBits(const std::uint64_t counter)
{
  std::uint64_t z = counter * 0x9e3779b97f4a7c15ull + 0x632be59bd9b4e019ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// Three numbers in [0, 1) of 21 bits each.
void RandomPosition(const std::uint64_t bits, float position[3])
{
  for (int axis = 0; axis < 3; ++axis)
  {
    position[axis] = static_cast<float>((bits >> (21 * axis)) & 0x1fffff) * 0x1p-21f;
  }
}

struct Volume
{
  const float* values;
  int nodes[3]; // along x, y, z
};

// Value at a position in node units, trilinear; NaN when one of the nodes around is NaN.
float Interpolate(const Volume& volume, const float position[3])
{
  std::int64_t node[3];
  float right[3];
  for (int axis = 0; axis < 3; ++axis)
  {
    node[axis] =
      std::min(static_cast<std::int64_t>(position[axis]), static_cast<std::int64_t>(volume.nodes[axis] - 2));
    right[axis] = position[axis] - static_cast<float>(node[axis]);
  }
  const std::int64_t row = volume.nodes[0], slice = row * volume.nodes[1];
  const float* first = volume.values + node[2] * slice + node[1] * row + node[0];
  // Not a + w (b - a): the difference of two large values of opposite sign may not fit.
  const auto mix = [](const float a, const float b, const float w) { return a * (1.0f - w) + b * w; };
  const auto line = [&](const std::int64_t offset)
  { return mix(first[offset], first[offset + 1], right[0]); };
  return mix(mix(line(0), line(row), right[1]), mix(line(slice), line(slice + row), right[1]), right[2]);
}

} // namespace
} // namespace amgsrn

extern "C" void amgsrn_sample(const float* values, const int32_t* nodes, const int32_t* bricks, uint64_t seed,
  uint64_t step, int32_t at_nodes, float* points, float* targets, int32_t threads)
{
  using namespace amgsrn;
  const Volume volume = { values, { nodes[0], nodes[1], nodes[2] } };
  const std::int64_t count = static_cast<std::int64_t>(bricks[0]) * bricks[1] * bricks[2];
  // One stream per step; the counter of a point within it leaves no overlap for 2^40 points.
  const std::uint64_t stream = RandomBits(seed * 0x2545f4914f6cdd1dull + step) << 8;
  float shift[3];
  RandomPosition(RandomBits(stream), shift);
  ParallelShares(TeamSize(threads, count, kBricksPerThread), count,
    [&](int, const std::int64_t first, const std::int64_t end)
    {
      for (std::int64_t brick = first; brick < end; ++brick)
      {
        const std::int64_t corner[3] = { brick % bricks[0], brick / bricks[0] % bricks[1],
          brick / (static_cast<std::int64_t>(bricks[0]) * bricks[1]) };
        for (int p = 0; p < kBlock; ++p)
        {
          const int cell[3] = { p % kBrick, p / kBrick % kBrick, p / (kBrick * kBrick) };
          const std::int64_t index = brick * kBlock + p;
          float jitter[3], position[3];
          RandomPosition(RandomBits(stream + 1 + static_cast<std::uint64_t>(index)), jitter);
          for (int axis = 0; axis < 3; ++axis)
          {
            const float cells = static_cast<float>(kBrick * bricks[axis]);
            float unit = (static_cast<float>(kBrick * corner[axis] + cell[axis]) + jitter[axis]) / cells +
              shift[axis] / cells;
            unit -= std::floor(unit); // the shifted lattice goes on at the other side
            const int last = volume.nodes[axis] - 1;
            position[axis] = at_nodes
              ? std::min(std::floor(unit * static_cast<float>(last + 1)), static_cast<float>(last))
              : unit * static_cast<float>(last);
            points[3 * index + axis] = 2.0f * position[axis] / static_cast<float>(last) - 1.0f;
          }
          targets[index] = Interpolate(volume, position);
        }
      }
    });
}
