// SPDX-License-Identifier: BSD-3-Clause
// The forms in which the grids' transforms are learned, and how slopes of the transforms become slopes of
// what is learned. The same as amgsrn_core/models/transforms.py.
#pragma once

#include "amgsrn_kernels.h"

#include <algorithm>
#include <cmath>

namespace amgsrn
{

// A unit quaternion (x, y, z, w), the length it had before, and its rotation matrix.
struct Rotation
{
  explicit Rotation(const float* quaternion)
  {
    float square = 0.0f;
    for (int i = 0; i < 4; ++i)
    {
      square += quaternion[i] * quaternion[i];
    }
    length = std::max(std::sqrt(square), 1e-12f);
    for (int i = 0; i < 4; ++i)
    {
      unit[i] = quaternion[i] / length;
    }
    const float x = unit[0], y = unit[1], z = unit[2], w = unit[3];
    const float rows[3][3] = { { 1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w) },
      { 2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w) },
      { 2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y) } };
    std::copy(&rows[0][0], &rows[0][0] + 9, &matrix[0][0]);
  }

  // Adds to the slope of the quaternion, given that of the matrix.
  void AddSlopes(const float d[3][3], float* quaternion) const
  {
    const float x = unit[0], y = unit[1], z = unit[2], w = unit[3];
    const float xy = d[0][1] + d[1][0], xz = d[0][2] + d[2][0], yz = d[1][2] + d[2][1];
    const float wx = d[2][1] - d[1][2], wy = d[0][2] - d[2][0], wz = d[1][0] - d[0][1];
    const float slopes[4] = { 2 * (y * xy + z * xz - 2 * x * (d[1][1] + d[2][2]) + w * wx),
      2 * (x * xy + z * yz - 2 * y * (d[0][0] + d[2][2]) + w * wy),
      2 * (x * xz + y * yz - 2 * z * (d[0][0] + d[1][1]) + w * wz), 2 * (x * wx + y * wy + z * wz) };
    float along = 0.0f; // what would only change the length
    for (int i = 0; i < 4; ++i)
    {
      along += unit[i] * slopes[i];
    }
    for (int i = 0; i < 4; ++i)
    {
      quaternion[i] += (slopes[i] - unit[i] * along) / length;
    }
  }

  float length;
  float unit[4];
  float matrix[3][3];
};

// transforms [M][3][4] of what is learned.
inline void MakeTransforms(const amgsrn_placement& placement, const int grids, float* transforms)
{
  for (int grid = 0; grid < grids; ++grid)
  {
    float* const rows = transforms + 12 * grid;
    if (placement.form == AMGSRN_MATRICES)
    {
      std::copy_n(placement.learned[0].values + 16 * grid, 12, rows);
      continue;
    }
    const float* log_scales = placement.learned[0].values + 3 * grid;
    const float* translation = placement.learned[2].values + 3 * grid;
    const Rotation rotation(placement.learned[1].values + 4 * grid);
    for (int i = 0; i < 3; ++i)
    {
      for (int j = 0; j < 3; ++j)
      {
        rows[4 * i + j] = rotation.matrix[i][j] * std::exp(log_scales[j]);
      }
      rows[4 * i + 3] = translation[i];
    }
  }
}

// Adds to the slopes of what is learned, given those of the transforms [M][3][4].
inline void AddPlacementSlopes(const amgsrn_placement& placement, const int grids, const float* slopes)
{
  for (int grid = 0; grid < grids; ++grid)
  {
    const float* const rows = slopes + 12 * grid;
    if (placement.form == AMGSRN_MATRICES)
    {
      for (int i = 0; i < 12; ++i)
      {
        placement.learned[0].gradients[16 * grid + i] += rows[i];
      }
      continue;
    }
    const float* log_scales = placement.learned[0].values + 3 * grid;
    const Rotation rotation(placement.learned[1].values + 4 * grid);
    float of_matrix[3][3];
    for (int j = 0; j < 3; ++j)
    {
      const float scale = std::exp(log_scales[j]);
      for (int i = 0; i < 3; ++i)
      {
        of_matrix[i][j] = rows[4 * i + j] * scale;
        placement.learned[0].gradients[3 * grid + j] += of_matrix[i][j] * rotation.matrix[i][j];
      }
      placement.learned[2].gradients[3 * grid + j] += rows[4 * j + 3];
    }
    rotation.AddSlopes(of_matrix, placement.learned[1].gradients + 4 * grid);
  }
}

} // namespace amgsrn
