// SPDX-License-Identifier: BSD-3-Clause
// Which bricks take part at a point, and with which weights, for blocks of points. Compiled once per
// instruction set (Google Highway's -inl.h convention); the loops are plain, and the compiler makes vectors
// of them.
#if defined(AMGSRN_ENSEMBLE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AMGSRN_ENSEMBLE_INL_H_
#undef AMGSRN_ENSEMBLE_INL_H_
#else
#define AMGSRN_ENSEMBLE_INL_H_
#endif

#include "amgsrn_kernels.h"
#include "block.h"
#include "cuts.h"

#include <hwy/highway.h>

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace amgsrn
{
namespace HWY_NAMESPACE
{

// The bricks that take part at each point of a block.
struct Located
{
  HWY_ALIGN std::int32_t brick[kBlock];  // the last of them along every axis
  HWY_ALIGN std::int32_t shared[kBlock]; // bit per axis: the brick before it along that axis takes part, too
};

// For points [3][kBlock].
HWY_INLINE void Locate(const Cuts cuts[3], const float* points, Located& located)
{
  std::fill_n(located.brick, kBlock, 0);
  std::fill_n(located.shared, kBlock, 0);
  for (int axis = 0; axis < 3; ++axis)
  {
    const Cuts& cut = cuts[axis];
    const float* const x = points + axis * kBlock;
    HWY_ALIGN std::int32_t begun[kBlock] = {};
    for (const float start : cut.starts)
    {
      for (int p = 0; p < kBlock; ++p)
      {
        begun[p] += x[p] >= start ? 1 : 0;
      }
    }
    for (int p = 0; p < kBlock; ++p)
    {
      located.brick[p] += cut.stride * begun[p];
    }
    if (cut.inverse_width > 0.0)
    {
      for (const float end : cut.ends)
      {
        for (int p = 0; p < kBlock; ++p)
        {
          begun[p] -= x[p] >= end ? 1 : 0;
        }
      }
      for (int p = 0; p < kBlock; ++p)
      {
        located.shared[p] |= begun[p] << axis;
      }
    }
  }
}

// Calls visit(brick) for all bricks that take part at a point, in ascending order.
template <class Visit>
HWY_INLINE void VisitBricks(const Cuts cuts[3], const Located& located, const int point, const Visit& visit)
{
  const int shared = located.shared[point];
  if (shared == 0)
  {
    return visit(located.brick[point]);
  }
  for (int before = shared;; before = (before - 1) & shared)
  {
    int brick = located.brick[point];
    for (int axis = 0; axis < 3; ++axis)
    {
      brick -= before >> axis & 1 ? cuts[axis].stride : 0;
    }
    visit(brick);
    if (before == 0)
    {
      break;
    }
  }
}

// The part that one axis has in the weights of its i-th brick at coordinates x, and its slope, [kBlock] each;
// slopes cost as much again, and are left alone unless wanted.
template <bool kSlopes>
HWY_INLINE void AxisWeights(const Cuts& cut, const int i, const float* x, double* weights, double* slopes)
{
  std::fill_n(weights, kBlock, 1.0);
  if (kSlopes)
  {
    std::fill_n(slopes, kBlock, 0.0);
  }
  const double per_unit = cut.inverse_width;
  if (!(per_unit > 0.0))
  {
    return; // a step, which Locate has taken
  }
  const auto share = [per_unit](const double coordinate, const double start)
  {
    const double t = (coordinate - start) * per_unit;
    return t < 0.0 ? 0.0 : t > 1.0 ? 1.0 : t;
  };
  if (i > 0)
  {
    const double start = cut.exact_starts[i - 1];
    for (int p = 0; p < kBlock; ++p)
    {
      const double t = share(x[p], start);
      weights[p] = t * t * (3.0 - 2.0 * t);
      if (kSlopes)
      {
        slopes[p] = 6.0 * t * (1.0 - t) * per_unit;
      }
    }
  }
  if (i + 1 < cut.bricks)
  {
    const double start = cut.exact_starts[i];
    for (int p = 0; p < kBlock; ++p)
    {
      const double t = share(x[p], start);
      const double left = 1.0 - t * t * (3.0 - 2.0 * t);
      if (kSlopes)
      {
        slopes[p] = slopes[p] * left - weights[p] * (6.0 * t * (1.0 - t) * per_unit);
      }
      weights[p] *= left;
    }
  }
}

// The weights [kBlock] of a brick at points [3][kBlock], and unless `slopes` is null their slopes along x, y,
// z, [3][kBlock].
HWY_INLINE void BrickWeights(
  const Cuts cuts[3], const int position[3], const float* points, float* weights, float* slopes)
{
  HWY_ALIGN double weight[3][kBlock];
  HWY_ALIGN double slope[3][kBlock];
  for (int axis = 0; axis < 3; ++axis)
  {
    const float* const x = points + axis * kBlock;
    if (slopes)
    {
      AxisWeights<true>(cuts[axis], position[axis], x, weight[axis], slope[axis]);
    }
    else
    {
      AxisWeights<false>(cuts[axis], position[axis], x, weight[axis], nullptr);
    }
  }
  for (int p = 0; p < kBlock; ++p)
  {
    weights[p] = static_cast<float>(weight[0][p] * weight[1][p] * weight[2][p]);
  }
  for (int axis = 0; slopes && axis < 3; ++axis)
  {
    const double* const one = weight[(axis + 1) % 3];
    const double* const other = weight[(axis + 2) % 3];
    for (int p = 0; p < kBlock; ++p)
    {
      slopes[axis * kBlock + p] = static_cast<float>(slope[axis][p] * one[p] * other[p]);
    }
  }
}

// Points [3][kBlock] to a brick's own coordinates, in place.
HWY_INLINE void ToLocal(const Cuts cuts[3], const int position[3], float* points)
{
  for (int axis = 0; axis < 3; ++axis)
  {
    const double scale = cuts[axis].scales[position[axis]], shift = cuts[axis].shifts[position[axis]];
    float* const x = points + axis * kBlock;
    for (int p = 0; p < kBlock; ++p)
    {
      x[p] = static_cast<float>(x[p] * scale + shift);
    }
  }
}

} // namespace HWY_NAMESPACE
} // namespace amgsrn
HWY_AFTER_NAMESPACE();
#endif
