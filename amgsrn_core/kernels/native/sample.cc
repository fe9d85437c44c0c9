// SPDX-License-Identifier: BSD-3-Clause
// Samples of a volume: at given points, and at random ones for training.
//
// Positions have the same bits for every instruction set, number of threads, and in the reference: random
// numbers are integers, all arithmetic on them is exact in double precision but for one last multiplication,
// and there is no sum of rounded products that a compiler could fuse.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sample.cc"
#include <hwy/foreach_target.h> // must come before highway.h

#include "amgsrn_kernels.h"
#include "block.h"
#include "random-inl.h"

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <iterator>

#ifndef AMGSRN_SAMPLE_TYPES_ // this file is included once per instruction set
#define AMGSRN_SAMPLE_TYPES_
namespace amgsrn
{

// Cells of a lattice along each edge of a brick.
constexpr int kBrick = 4;
static_assert(kBrick * kBrick * kBrick == kBlock, "a brick is a block of points");

// Where a training batch goes, and the random numbers that it is made of.
struct Batch
{
  std::uint64_t seed, step;
  float* points; // [..][3]
  float* values; // [..][channels]
};

} // namespace amgsrn
#endif

HWY_BEFORE_NAMESPACE();
namespace amgsrn
{
namespace HWY_NAMESPACE
{
namespace hn = hwy::HWY_NAMESPACE;

// Cells of a block's positions along an axis of `nodes` nodes, and the weights of the cells' upper nodes.
// Outside the volume the outermost cells go on; a position that is not a number is put into the first cell,
// and its weight is not a number either.
HWY_INLINE void FindCells(
  const float* positions, const std::int32_t nodes, std::int32_t* cells, double* weights)
{
  const hn::CappedTag<double, 8> d;
  const hn::Rebind<float, decltype(d)> floats;
  const hn::Rebind<std::int32_t, decltype(d)> integers;
  const auto zero = hn::Zero(d), last = hn::Set(d, nodes - 2.0), half = hn::Set(d, 0.5 * (nodes - 1.0));
  for (int p = 0; p < kBlock; p += static_cast<int>(hn::Lanes(d)))
  {
    const auto position = hn::PromoteTo(d, hn::Load(floats, positions + p));
    const auto index = hn::Mul(hn::Add(position, hn::Set(d, 1.0)), half);
    const auto within = hn::IfThenElse(hn::Gt(index, zero), hn::Min(index, last), zero);
    const auto cell = hn::DemoteTo(integers, within);
    hn::Store(cell, integers, cells + p);
    hn::Store(hn::Sub(index, hn::PromoteTo(d, cell)), d, weights + p);
  }
}

HWY_INLINE double Between(const double a, const double b, const double weight)
{
  return a + (b - a) * weight;
}

// Values at the first `available` points of a block [3][kBlock].
template <int Channels>
void SampleBlock(const amgsrn_volume& volume, const float* block, const int available, float* values)
{
  constexpr std::int64_t kX = Channels;
  const std::int64_t y_stride = volume.width * kX, z_stride = volume.height * y_stride;
  HWY_ALIGN std::int32_t cells[3][kBlock];
  HWY_ALIGN double weights[3][kBlock];
  FindCells(block, volume.width, cells[0], weights[0]);
  FindCells(block + kBlock, volume.height, cells[1], weights[1]);
  FindCells(block + 2 * kBlock, volume.depth, cells[2], weights[2]);
  std::int64_t offsets[kBlock];
  for (int p = 0; p < kBlock; ++p)
  {
    offsets[p] = cells[0][p] * kX + cells[1][p] * y_stride + cells[2][p] * z_stride;
  }
  // Volumes are larger than caches: all of the block's nodes are asked for before the first one is waited
  // for.
  for (int p = 0; p < available; ++p)
  {
    const float* cell = volume.values + offsets[p];
    hwy::Prefetch(cell);
    hwy::Prefetch(cell + y_stride);
    hwy::Prefetch(cell + z_stride);
    hwy::Prefetch(cell + z_stride + y_stride);
  }
  for (int p = 0; p < available; ++p)
  {
    for (int channel = 0; channel < Channels; ++channel)
    {
      const float* node = volume.values + offsets[p] + channel;
      double planes[2];
      for (double& plane : planes)
      {
        const double near = Between(node[0], node[kX], weights[0][p]);
        const double far = Between(node[y_stride], node[y_stride + kX], weights[0][p]);
        plane = Between(near, far, weights[1][p]);
        node += z_stride;
      }
      const double value = Between(planes[0], planes[1], weights[2][p]);
      values[p * Channels + channel] = static_cast<float>((value - volume.low) * volume.scale);
    }
  }
}

// SampleBlock for the volume's number of channels.
HWY_INLINE void SampleAnyBlock(
  const amgsrn_volume& volume, const float* block, const int available, float* values)
{
  constexpr void (*kFunctions[])(const amgsrn_volume&, const float*, int, float*) = { SampleBlock<1>,
    SampleBlock<2>, SampleBlock<3>, SampleBlock<4> };
  static_assert(std::size(kFunctions) == AMGSRN_MAX_VOLUME_CHANNELS);
  kFunctions[volume.channels - 1](volume, block, available, values);
}

// Values at points[count][3].
void SamplePoints(const amgsrn_volume& volume, const float* points, const std::int64_t count, float* values)
{
  HWY_ALIGN float block[3 * kBlock];
  for (std::int64_t start = 0; start < count; start += kBlock)
  {
    const std::int64_t available = std::min<std::int64_t>(kBlock, count - start);
    LoadPoints(points + 3 * start, available, block);
    SampleAnyBlock(volume, block, static_cast<int>(available), values + start * volume.channels);
  }
}

// The inverse of LoadPoints.
HWY_INLINE void StorePoints(const float* block, const int available, float* points)
{
  for (int p = 0; p < available; ++p)
  {
    for (int axis = 0; axis < 3; ++axis)
    {
      points[3 * p + axis] = block[axis * kBlock + p];
    }
  }
}

// Independent points [first, end) of a batch, equally likely everywhere.
void DrawUniform(
  const amgsrn_volume& volume, const Batch& batch, const std::int64_t first, const std::int64_t end)
{
  HWY_ALIGN std::int32_t numbers[3 * kBlock];
  HWY_ALIGN float block[3 * kBlock];
  for (std::int64_t start = first; start < end; start += kBlock)
  {
    const int available = static_cast<int>(std::min<std::int64_t>(kBlock, end - start));
    RandomBlock(static_cast<std::uint64_t>(start), batch.step, batch.seed, numbers);
    for (int i = 0; i < 3 * kBlock; ++i)
    {
      block[i] = (numbers[i] - 0x800000) * 0x1p-23f;
    }
    StorePoints(block, available, batch.points + 3 * start);
    SampleAnyBlock(volume, block, available, batch.values + start * volume.channels);
  }
}

// Asks for the values of a block of nodes, given as (x, y, z) in [3][kBlock], and sets their offsets.
HWY_INLINE void FindNodes(const amgsrn_volume& volume, const std::int32_t* nodes, std::int64_t* offsets)
{
  const std::int64_t width = volume.width, height = volume.height;
  for (int p = 0; p < kBlock; ++p)
  {
    offsets[p] = ((nodes[2 * kBlock + p] * height + nodes[kBlock + p]) * width + nodes[p]) * volume.channels;
    hwy::Prefetch(volume.values + offsets[p]);
  }
}

// The values at nodes.
HWY_INLINE void TakeNodes(
  const amgsrn_volume& volume, const std::int64_t* offsets, const int available, float* values)
{
  for (int p = 0; p < available; ++p)
  {
    for (int channel = 0; channel < volume.channels; ++channel)
    {
      const double value = volume.values[offsets[p] + channel];
      values[p * volume.channels + channel] = static_cast<float>((value - volume.low) * volume.scale);
    }
  }
}

// One random point in each cell of one brick of a lattice of (x, y, z) cells. `first` are the brick's lowest
// cell and `size` its cells along each axis; its points are those from `start` on. With `snap`, the points
// are nodes of the volume.
void DrawBrick(const amgsrn_volume& volume, const Batch& batch, const std::int64_t lattice[3],
  const std::int64_t first[3], const int size[3], const std::int64_t start, const bool snap)
{
  HWY_ALIGN std::int32_t numbers[3 * kBlock];
  HWY_ALIGN std::int32_t corners[3 * kBlock] = {};
  HWY_ALIGN std::int32_t nodes[3 * kBlock];
  HWY_ALIGN float positions[3 * kBlock];
  int available = 0;
  for (int z = 0; z < size[2]; ++z)
  {
    for (int y = 0; y < size[1]; ++y)
    {
      for (int x = 0; x < size[0]; ++x, ++available)
      {
        corners[available] = x;
        corners[kBlock + available] = y;
        corners[2 * kBlock + available] = z;
      }
    }
  }
  RandomBlock(static_cast<std::uint64_t>(start), batch.step, batch.seed, numbers);
  const std::int32_t counts[3] = { volume.width, volume.height, volume.depth };
  for (int axis = 0; axis < 3; ++axis)
  {
    // In units of 2^-24 cells everything is an integer.
    const double cells = static_cast<double>(lattice[axis]) * 0x1p24, corner = first[axis];
    const std::int32_t* number = numbers + axis * kBlock;
    const std::int32_t* offset = corners + axis * kBlock;
    float* position = positions + axis * kBlock;
    const std::int32_t last = counts[axis] - 1;
    const double nodes_per_cell = counts[axis] / cells, per_cell = 1.0 / cells, per_node = 1.0 / last;
    std::int32_t* node = nodes + axis * kBlock;
    for (int p = 0; p < kBlock; ++p)
    {
      const double place = (corner + offset[p]) * 0x1p24 + number[p];
      if (snap)
      {
        node[p] = std::min(static_cast<std::int32_t>(place * nodes_per_cell), last);
        position[p] = static_cast<float>((2.0 * node[p] - last) * per_node);
      }
      else
      {
        position[p] = static_cast<float>((2.0 * place - cells) * per_cell);
      }
    }
  }
  float* points = batch.points + 3 * start;
  float* values = batch.values + start * volume.channels;
  if (snap)
  {
    std::int64_t offsets[kBlock];
    FindNodes(volume, nodes, offsets);
    StorePoints(positions, available, points);
    TakeNodes(volume, offsets, available, values);
  }
  else
  {
    StorePoints(positions, available, points);
    SampleAnyBlock(volume, positions, available, values);
  }
}

} // namespace HWY_NAMESPACE
} // namespace amgsrn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "parallel.h"

namespace amgsrn
{
HWY_EXPORT(SamplePoints);
HWY_EXPORT(DrawUniform);
HWY_EXPORT(DrawBrick);

namespace
{

// Blocks per thread at which starting one pays.
constexpr std::int64_t kBlocksPerThread = 128;

std::int64_t BlocksOf(const std::int64_t count)
{
  return (count + kBlock - 1) / kBlock;
}

} // namespace
} // namespace amgsrn

extern "C" void amgsrn_sample_volume(
  const amgsrn_volume* volume, const float* points, int64_t count, float* values, int32_t threads)
{
  using namespace amgsrn;
  ParallelShares(TeamSize(threads, BlocksOf(count), kBlocksPerThread), count,
    [&](int, const std::int64_t first, const std::int64_t end)
    {
      HWY_DYNAMIC_DISPATCH(SamplePoints)
      (*volume, points + 3 * first, end - first, values + first * volume->channels);
    });
}

extern "C" void amgsrn_draw_uniform(const amgsrn_volume* volume, uint64_t seed, uint64_t step, int64_t count,
  float* points, float* values, int32_t threads)
{
  using namespace amgsrn;
  const Batch batch = { seed, step, points, values };
  ParallelShares(TeamSize(threads, BlocksOf(count), kBlocksPerThread), count,
    [&](int, const std::int64_t first, const std::int64_t end) {
      HWY_DYNAMIC_DISPATCH(DrawUniform)(*volume, batch, first, end);
    });
}

extern "C" void amgsrn_draw_lattice(const amgsrn_volume* volume, const int64_t* lattice, int32_t snap,
  uint64_t seed, uint64_t step, float* points, float* values, int32_t threads)
{
  using namespace amgsrn;
  const Batch batch = { seed, step, points, values };
  std::int64_t bricks[3];
  for (int axis = 0; axis < 3; ++axis)
  {
    bricks[axis] = (lattice[axis] + kBrick - 1) / kBrick;
  }
  const std::int64_t count = bricks[0] * bricks[1] * bricks[2];
  ParallelShares(TeamSize(threads, count, kBlocksPerThread), count,
    [&](int, const std::int64_t begin, const std::int64_t end)
    {
      for (std::int64_t brick = begin; brick < end; ++brick)
      {
        const std::int64_t first[3] = { kBrick * (brick % bricks[0]),
          kBrick * (brick / bricks[0] % bricks[1]), kBrick * (brick / (bricks[0] * bricks[1])) };
        int size[3];
        for (int axis = 0; axis < 3; ++axis)
        {
          size[axis] = static_cast<int>(std::min<std::int64_t>(kBrick, lattice[axis] - first[axis]));
        }
        // Cells before this brick: whole slabs of bricks, whole rows of bricks in its slab, bricks in its
        // row.
        const std::int64_t start =
          first[2] * lattice[1] * lattice[0] + size[2] * first[1] * lattice[0] + size[2] * size[1] * first[0];
        HWY_DYNAMIC_DISPATCH(DrawBrick)(*volume, batch, lattice, first, size, start, snap != 0);
      }
    });
}
#endif
