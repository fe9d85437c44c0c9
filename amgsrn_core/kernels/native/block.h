// SPDX-License-Identifier: BSD-3-Clause
// Points are worked on in blocks, stored as a structure of arrays: value k of point p is at [k * kBlock + p].
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace amgsrn
{

// Few enough for a block's features and hidden layers to stay in the first-level cache, a multiple of every
// vector length.
constexpr int kBlock = 64;

// Floats in the largest vector.
constexpr int kLargestVector = 16;

struct AlignedFree
{
  template <class T>
  void operator()(T* memory) const
  {
    std::free(memory);
  }
};
template <class T>
using AlignedArray = std::unique_ptr<T[], AlignedFree>;
using AlignedFloats = AlignedArray<float>;

// `count` numbers aligned to a cache line, not initialized; null when memory ran out.
template <class T>
AlignedArray<T> Allocate(const std::size_t count)
{
  const std::size_t bytes = (count * sizeof(T) + 63) / 64 * 64;
  return AlignedArray<T>(static_cast<T*>(std::aligned_alloc(64, bytes)));
}

inline AlignedFloats AllocateFloats(const std::size_t count)
{
  return Allocate<float>(count);
}

// Where a block's points are in one grid: for each point the index of its cell's first node (its first
// channel) and the weights of the cell's lower and upper nodes along each axis. Outside the grid and the
// voxel around it, where features fade to zero, the node is 0 and both weights along z are 0.
struct alignas(64) Cells
{
  std::int32_t node[kBlock];
  float right_x[kBlock];
  float right_y[kBlock];
  float left_z[kBlock];
  float right_z[kBlock];
  bool active[kBlock]; // [offset / lanes]: whether any point of the vector that begins at `offset` is inside
  bool any;            // whether any point is inside
};

// A matrix [rows][columns] as [columns][rows]; null when memory ran out.
inline AlignedFloats Transposed(const float* matrix, const int rows, const int columns)
{
  AlignedFloats result = AllocateFloats(static_cast<std::size_t>(rows) * columns);
  for (int row = 0; result && row < rows; ++row)
  {
    for (int column = 0; column < columns; ++column)
    {
      result[static_cast<std::size_t>(column) * rows + row] =
        matrix[static_cast<std::size_t>(row) * columns + column];
    }
  }
  return result;
}

// Transpose up to kBlock points (x, y, z) into a block; what is missing is filled with the last point.
inline void LoadPoints(const float* points, std::int64_t available, float* block)
{
  for (int p = 0; p < kBlock; ++p)
  {
    const float* point = points + 3 * (p < available ? p : available - 1);
    for (int axis = 0; axis < 3; ++axis)
    {
      block[axis * kBlock + p] = point[axis];
    }
  }
}

} // namespace amgsrn
