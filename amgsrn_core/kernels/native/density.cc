// SPDX-License-Identifier: BSD-3-Clause
// Feature density (Wurster et al., equation 3) and its gradient. Nothing per point and grid is kept: backward
// computes the grids' shares again.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "density.cc"
#include <hwy/foreach_target.h> // must come before highway.h

#include "amgsrn_kernels.h"
#include "block.h"

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#ifndef AMGSRN_DENSITY_TYPES_ // this file is included once per instruction set
#define AMGSRN_DENSITY_TYPES_
namespace amgsrn
{

// Points that a grid works on before the next one does: few enough to stay in the first-level cache.
constexpr int kTilePoints = 16 * kBlock;

// Sums over points of slope * share of a grid, and of its derivatives with respect to the transform's [3][4].
struct DensitySums
{
  double share;
  double transform[12];
};

} // namespace amgsrn
#endif

HWY_BEFORE_NAMESPACE();
namespace amgsrn
{
namespace HWY_NAMESPACE
{
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, 16>;
using FloatVector = hn::Vec<Floats>;

// A point in a grid's coordinates t, and exp(-1/2 sum of t^20).
struct Share
{
  FloatVector power[3]; // t^19
  FloatVector exponential;
};

HWY_INLINE FloatVector Squared(const FloatVector x)
{
  return hn::Mul(x, x);
}

// Points [3][kTilePoints] from `offset` on. False if none of them has a share.
HWY_INLINE bool FindShare(const float* transform, const float* points, const int offset, Share& share)
{
  const Floats d;
  FloatVector sum = hn::Zero(d);
  for (int axis = 0; axis < 3; ++axis)
  {
    const float* row = transform + 4 * axis;
    FloatVector local = hn::Set(d, row[3]);
    for (int k = 0; k < 3; ++k)
    {
      local = hn::MulAdd(hn::Set(d, row[k]), hn::Load(d, points + k * kTilePoints + offset), local);
    }
    const FloatVector power2 = Squared(local), power4 = Squared(power2), power16 = Squared(Squared(power4));
    share.power[axis] = hn::Mul(power16, hn::Mul(power2, local));
    sum = hn::MulAdd(power16, power4, sum);
  }
  // exp(-87) is the smallest normal number; beyond it there is nothing worth adding, and powers may be
  // infinite.
  const auto near = hn::Lt(sum, hn::Set(d, 174.0f));
  if (hn::AllFalse(d, near))
  {
    return false;
  }
  const FloatVector exponent = hn::Mul(hn::Set(d, -0.5f), hn::IfThenElseZero(near, sum));
  share.exponential = hn::IfThenElseZero(near, hn::Exp(d, exponent));
  for (FloatVector& power : share.power)
  {
    power = hn::IfThenElseZero(near, power);
  }
  return true;
}

// Adds the grid's density to density[kTilePoints].
void AddDensity(
  const float* transform, const float volume, const float* points, const int count, float* density)
{
  const Floats d;
  for (int offset = 0; offset < count; offset += static_cast<int>(hn::Lanes(d)))
  {
    Share share;
    if (FindShare(transform, points, offset, share))
    {
      const FloatVector sum = hn::Load(d, density + offset);
      hn::Store(hn::MulAdd(hn::Set(d, volume), share.exponential, sum), d, density + offset);
    }
  }
}

// Adds the grid's sums over the points of a tile, given slopes[kTilePoints], 0 for points that do not count.
void AddDensitySums(
  const float* transform, const float* points, const float* slopes, const int count, DensitySums& sums)
{
  const Floats d;
  FloatVector total = hn::Zero(d), by_transform[12];
  for (FloatVector& sum : by_transform)
  {
    sum = hn::Zero(d);
  }
  for (int offset = 0; offset < count; offset += static_cast<int>(hn::Lanes(d)))
  {
    Share share;
    if (!FindShare(transform, points, offset, share))
    {
      continue;
    }
    const FloatVector weighted = hn::Mul(hn::Load(d, slopes + offset), share.exponential);
    total = hn::Add(total, weighted);
    for (int axis = 0; axis < 3; ++axis)
    {
      // d/dt of -1/2 t^20
      const FloatVector slope = hn::Mul(hn::Mul(hn::Set(d, -10.0f), share.power[axis]), weighted);
      for (int k = 0; k < 3; ++k)
      {
        FloatVector& sum = by_transform[4 * axis + k];
        sum = hn::MulAdd(slope, hn::Load(d, points + k * kTilePoints + offset), sum);
      }
      by_transform[4 * axis + 3] = hn::Add(by_transform[4 * axis + 3], slope);
    }
  }
  sums.share += hn::GetLane(hn::SumOfLanes(d, total));
  for (int i = 0; i < 12; ++i)
  {
    sums.transform[i] += hn::GetLane(hn::SumOfLanes(d, by_transform[i]));
  }
}

} // namespace HWY_NAMESPACE
} // namespace amgsrn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "parallel.h"

#include <new>
#include <vector>

namespace amgsrn
{
HWY_EXPORT(AddDensity);
HWY_EXPORT(AddDensitySums);

namespace
{

// (2 pi)^(3/2)
constexpr double kNormal = 15.749609945722419;
// Tiles times grids per thread at which starting one pays.
constexpr std::int64_t kTilesPerThread = 32;

// A grid's determinant and cofactors: the derivative of the determinant with respect to [3][4].
double Determinant(const float* transform, double cofactors[12])
{
  const auto at = [transform](const int row, const int column)
  { return static_cast<double>(transform[row % 3 * 4 + column % 3]); };
  for (int row = 0; row < 3; ++row)
  {
    for (int column = 0; column < 3; ++column)
    {
      cofactors[4 * row + column] =
        at(row + 1, column + 1) * at(row + 2, column + 2) - at(row + 1, column + 2) * at(row + 2, column + 1);
    }
    cofactors[4 * row + 3] = 0.0;
  }
  return at(0, 0) * cofactors[0] + at(0, 1) * cofactors[1] + at(0, 2) * cofactors[2];
}

// Transposes up to kTilePoints points; the last one fills the last block up.
void LoadTile(const float* points, const int available, float* tile)
{
  const int filled = (available + kBlock - 1) / kBlock * kBlock;
  for (int p = 0; p < filled; ++p)
  {
    for (int axis = 0; axis < 3; ++axis)
    {
      tile[axis * kTilePoints + p] = points[3 * std::min(p, available - 1) + axis];
    }
  }
}

// Calls work(thread, first point, available points) for all tiles of `count` points.
template <class Work>
void ForEachTile(const std::int64_t count, const int team, const Work& work)
{
  ParallelShares(team, (count + kTilePoints - 1) / kTilePoints,
    [&](const int thread, const std::int64_t begin, const std::int64_t end)
    {
      for (std::int64_t start = begin * kTilePoints; start < std::min(count, end * kTilePoints);
           start += kTilePoints)
      {
        work(thread, start, static_cast<int>(std::min<std::int64_t>(kTilePoints, count - start)));
      }
    });
}

int DensityTeam(const int threads, const std::int64_t count, const int grids)
{
  const std::int64_t tiles = (count + kTilePoints - 1) / kTilePoints;
  return static_cast<int>(std::min<std::int64_t>(
    std::max<std::int64_t>(tiles, 1), TeamSize(threads, tiles * grids, kTilesPerThread)));
}

} // namespace
} // namespace amgsrn

extern "C" void amgsrn_density(
  const float* transforms, int32_t grids, const float* points, int64_t count, float* density, int32_t threads)
{
  using namespace amgsrn;
  ForEachTile(count, DensityTeam(threads, count, grids),
    [&](int, const std::int64_t start, const int available)
    {
      alignas(64) float tile[3 * kTilePoints];
      alignas(64) float sums[kTilePoints] = {};
      LoadTile(points + 3 * start, available, tile);
      for (int grid = 0; grid < grids; ++grid)
      {
        double cofactors[12];
        const double volume = std::abs(Determinant(transforms + 12 * grid, cofactors)) / kNormal;
        HWY_DYNAMIC_DISPATCH(AddDensity)
        (transforms + 12 * grid, static_cast<float>(volume), tile, available, sums);
      }
      std::copy_n(sums, available, density + start);
    });
}

extern "C" int32_t amgsrn_density_backward(const float* transforms, int32_t grids, const float* points,
  int64_t count, const float* slopes, float* gradients, int32_t threads)
{
  using namespace amgsrn;
  const int team = DensityTeam(threads, count, grids);
  std::vector<DensitySums> sums;
  try
  {
    sums.resize(static_cast<std::size_t>(team) * grids);
  }
  catch (const std::bad_alloc&)
  {
    return 1;
  }
  ForEachTile(count, team,
    [&](const int thread, const std::int64_t start, const int available)
    {
      alignas(64) float tile[3 * kTilePoints];
      alignas(64) float tile_slopes[kTilePoints] = {};
      LoadTile(points + 3 * start, available, tile);
      std::copy_n(slopes + start, available, tile_slopes);
      for (int grid = 0; grid < grids; ++grid)
      {
        HWY_DYNAMIC_DISPATCH(AddDensitySums)
        (transforms + 12 * grid, tile, tile_slopes, available,
          sums[static_cast<std::size_t>(thread) * grids + grid]);
      }
    });
  for (int grid = 0; grid < grids; ++grid)
  {
    double cofactors[12];
    const double determinant = Determinant(transforms + 12 * grid, cofactors);
    const double sign = determinant > 0.0 ? 1.0 : determinant < 0.0 ? -1.0 : 0.0;
    for (int i = 0; i < 12; ++i)
    {
      double gradient = 0.0;
      for (int thread = 0; thread < team; ++thread)
      {
        const DensitySums& share = sums[static_cast<std::size_t>(thread) * grids + grid];
        gradient += std::abs(determinant) * share.transform[i] + sign * cofactors[i] * share.share;
      }
      gradients[12 * grid + i] = static_cast<float>(gradient / kNormal);
    }
  }
  return 0;
}
#endif
