// SPDX-License-Identifier: BSD-3-Clause
// An amgsrn_partition made ready for many points, one structure per axis.
#pragma once

#include "amgsrn_kernels.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace amgsrn
{

struct Cuts
{
  int bricks;
  int stride;           // from a brick to the next along the axis
  double inverse_width; // of blending; 0 where there is none
  const double* exact_starts;
  const double* scales;
  const double* shifts;
  // Where each brick but the first begins, as floats that other floats compare with as with the exact
  // numbers.
  std::vector<float> starts;
  // Where the brick before each of those ends, likewise.
  std::vector<float> ends;
};

// The least float that is not below a number.
inline float AtLeast(const double number)
{
  const float nearest = static_cast<float>(number);
  return nearest < number ? std::nextafterf(nearest, std::numeric_limits<float>::infinity()) : nearest;
}

// Raises std::bad_alloc.
inline void MakeCuts(const amgsrn_partition& partition, Cuts cuts[3])
{
  int stride = 1;
  for (int axis = 0; axis < 3; ++axis)
  {
    Cuts& cut = cuts[axis];
    const double width = partition.widths[axis];
    cut.bricks = partition.bricks[axis];
    cut.stride = stride;
    cut.inverse_width = width > 0.0 ? 1.0 / width : 0.0;
    cut.exact_starts = partition.starts[axis];
    cut.scales = partition.scales[axis];
    cut.shifts = partition.shifts[axis];
    for (int i = 0; i + 1 < cut.bricks; ++i)
    {
      cut.starts.push_back(AtLeast(cut.exact_starts[i]));
    }
    for (int i = 0; i + 1 < cut.bricks; ++i)
    {
      // Where one blend begins as the other ends, rounding must not let three bricks meet.
      const float end = AtLeast(cut.exact_starts[i] + width);
      cut.ends.push_back(i + 2 < cut.bricks ? std::min(end, cut.starts[i + 1]) : end);
    }
    stride *= cut.bricks;
  }
}

} // namespace amgsrn
