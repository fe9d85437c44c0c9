// SPDX-License-Identifier: BSD-3-Clause
// Many networks, one per brick of a volume, at points in any order. A chunk of points is sorted by brick, so
// that a network's features are in the caches while all points in its brick are worked on, in full blocks;
// sums over the bricks that meet at a point come last.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ensemble.cc"
#include <hwy/foreach_target.h> // must come before highway.h

#include "amgsrn_kernels.h"
#include "block.h"
#include "ensemble-inl.h"
#include "infer-inl.h"
#include "value-gradient-inl.h"

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>

#ifndef AMGSRN_ENSEMBLE_TYPES_ // this file is included once per instruction set
#define AMGSRN_ENSEMBLE_TYPES_
namespace amgsrn
{

// A chunk of points and what bricks contribute to their values: a row for each pair of a point and a brick
// that takes part there. The first brick's row has the point's index; the others' rows follow after all of
// those.
struct Chunk
{
  const float* points; // [count][3]
  std::int32_t count;
  AlignedArray<std::int32_t> other_points; // [other rows]: ascending
  AlignedArray<std::int32_t> order;        // [rows of bricks that have something], by brick
  AlignedFloats rows;                      // [rows][width]

  std::int32_t PointOf(const std::int32_t row) const { return row < count ? row : other_points[row - count]; }
};

// A brick, and some of its rows.
struct Task
{
  const amgsrn_brick* brick;
  int position[3];          // which one it is along x, y, z
  const std::int32_t* rows; // part of Chunk::order
  std::int32_t count;
};

// What one share of a chunk has of each brick: the number of rows, then where the next one goes in the order.
struct Share
{
  std::vector<std::int32_t> bricks;
  std::int32_t others; // rows of points' other bricks, likewise
};

} // namespace amgsrn
#endif

HWY_BEFORE_NAMESPACE();
namespace amgsrn
{
namespace HWY_NAMESPACE
{

// Calls visit(point, located, index in the block) for the points of blocks [first, end).
template <class Visit>
HWY_INLINE void VisitPoints(const Cuts cuts[3], const float* points, const std::int64_t count,
  const std::int64_t first, const std::int64_t end, const Visit& visit)
{
  HWY_ALIGN float block[3 * kBlock];
  Located located;
  for (std::int64_t b = first; b < end; ++b)
  {
    const std::int64_t start = b * kBlock;
    const int available = static_cast<int>(std::min<std::int64_t>(kBlock, count - start));
    LoadPoints(points + 3 * start, available, block);
    Locate(cuts, block, located);
    for (int p = 0; p < available; ++p)
    {
      visit(start + p, located, p);
    }
  }
}

void MarkTouched(const Cuts cuts[3], const float* points, const std::int64_t count, const std::int64_t first,
  const std::int64_t end, std::uint8_t* touched)
{
  VisitPoints(cuts, points, count, first, end,
    [&](std::int64_t, const Located& located, const int p)
    { VisitBricks(cuts, located, p, [&](const int brick) { touched[brick] = 1; }); });
}

void CountRows(
  const Cuts cuts[3], const Chunk& chunk, const std::int64_t first, const std::int64_t end, Share& share)
{
  VisitPoints(cuts, chunk.points, chunk.count, first, end,
    [&](std::int64_t, const Located& located, const int p)
    {
      VisitBricks(cuts, located, p,
        [&](const int brick)
        {
          ++share.bricks[brick];
          ++share.others;
        });
      --share.others;
    });
}

// Writes the share's rows into the order. Rows of bricks that have nothing are zero.
void SortRows(const Cuts cuts[3], const amgsrn_brick* bricks, const int width, Chunk& chunk,
  const std::int64_t first, const std::int64_t end, Share& share)
{
  VisitPoints(cuts, chunk.points, chunk.count, first, end,
    [&](const std::int64_t point, const Located& located, const int p)
    {
      bool first_brick = true;
      VisitBricks(cuts, located, p,
        [&](const int brick)
        {
          std::int32_t row = static_cast<std::int32_t>(point);
          if (!first_brick)
          {
            chunk.other_points[share.others] = row;
            row = chunk.count + share.others++;
          }
          first_brick = false;
          if (bricks[brick].shift)
          {
            chunk.order[share.bricks[brick]++] = row;
          }
          else
          {
            std::fill_n(chunk.rows.get() + static_cast<std::size_t>(row) * width, width, 0.0f);
          }
        });
    });
}

// The points of up to kBlock rows as [3][kBlock]; what is missing is filled with the last one.
HWY_INLINE void GatherPoints(const Chunk& chunk, const std::int32_t* rows, const int available, float* block)
{
  for (int p = 0; p < kBlock; ++p)
  {
    const float* const point = chunk.points + 3 * chunk.PointOf(rows[std::min(p, available - 1)]);
    for (int axis = 0; axis < 3; ++axis)
    {
      block[axis * kBlock + p] = point[axis];
    }
  }
}

// Asks for the points of rows, and for where their values go.
HWY_INLINE void PrefetchRows(const Chunk& chunk, const std::int32_t* rows, const int count, const int width)
{
  for (int p = 0; p < count; ++p)
  {
    hwy::Prefetch(chunk.points + 3 * chunk.PointOf(rows[p]));
    hwy::Prefetch(chunk.rows.get() + static_cast<std::size_t>(rows[p]) * width);
  }
}

// Rows of one brick: weighted values. `scratch` as for InferBlock.
void InferRows(
  const Cuts cuts[3], const Task& task, const int outputs, const Chunk& chunk, float* const scratch[3])
{
  HWY_ALIGN float block[3 * kBlock];
  HWY_ALIGN float weights[kBlock];
  const amgsrn_brick& brick = *task.brick;
  for (std::int32_t start = 0; start < task.count; start += kBlock)
  {
    const int available = std::min(kBlock, task.count - start);
    const std::int32_t* const rows = task.rows + start;
    PrefetchRows(chunk, rows + available, std::min(kBlock, task.count - start - available), outputs);
    GatherPoints(chunk, rows, available, block);
    BrickWeights(cuts, task.position, block, weights, nullptr);
    const float* results = nullptr;
    if (brick.network)
    {
      ToLocal(cuts, task.position, block);
      results = InferBlock(*brick.network, static_cast<const Bf16Weights*>(brick.fast), block, scratch);
    }
    for (int p = 0; p < available; ++p)
    {
      float* const row = chunk.rows.get() + static_cast<std::size_t>(rows[p]) * outputs;
      for (int o = 0; o < outputs; ++o)
      {
        const float value =
          results ? brick.scale[o] * results[o * kBlock + p] + brick.shift[o] : brick.shift[o];
        row[o] = weights[p] == 0.0f ? 0.0f : weights[p] * value; // what does not count may be no number
      }
    }
  }
}

// Rows of one brick: weighted values, and their slopes along x, y, z, for each output. `layers` and `scratch`
// are of its network.
void DifferentiateRows(const Cuts cuts[3], const Task& task, const int outputs, const Chunk& chunk,
  const BackwardLayers& layers, const GradientScratch& scratch)
{
  HWY_ALIGN float block[3 * kBlock];
  HWY_ALIGN float weights[kBlock];
  HWY_ALIGN float weight_slopes[3 * kBlock];
  HWY_ALIGN float slopes[3 * kBlock] = {};
  const amgsrn_brick& brick = *task.brick;
  for (std::int32_t start = 0; start < task.count; start += kBlock)
  {
    const int available = std::min(kBlock, task.count - start);
    const std::int32_t* const rows = task.rows + start;
    PrefetchRows(chunk, rows + available, std::min(kBlock, task.count - start - available), 4 * outputs);
    GatherPoints(chunk, rows, available, block);
    BrickWeights(cuts, task.position, block, weights, weight_slopes);
    if (brick.network)
    {
      ToLocal(cuts, task.position, block);
      ForwardWithSlopes(*brick.network, layers, block, scratch);
    }
    for (int o = 0; o < outputs; ++o)
    {
      if (brick.network)
      {
        OutputSlopes(*brick.network, layers, o, scratch, slopes);
      }
      for (int p = 0; p < available; ++p)
      {
        float* const row = chunk.rows.get() + (static_cast<std::size_t>(rows[p]) * outputs + o) * 4;
        const bool counts = weights[p] != 0.0f;
        const float value =
          brick.network ? brick.scale[o] * scratch.values[o * kBlock + p] + brick.shift[o] : brick.shift[o];
        row[0] = counts ? weights[p] * value : 0.0f;
        for (int axis = 0; axis < 3; ++axis)
        {
          const float own = brick.network ? brick.scale[o] * slopes[axis * kBlock + p] *
              static_cast<float>(cuts[axis].scales[task.position[axis]])
                                          : 0.0f;
          row[1 + axis] = counts ? weights[p] * own + weight_slopes[axis * kBlock + p] * value : 0.0f;
        }
      }
    }
  }
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
HWY_EXPORT(CountRows);
HWY_EXPORT(DifferentiateRows);
HWY_EXPORT(InferRows);
HWY_EXPORT(MarkTouched);
HWY_EXPORT(SortRows);

namespace
{

// Points in a chunk: enough in each brick for loading its features to cost little; as many again for each
// thread. The largest chunk is one of points with four numbers each, a value and its gradient.
constexpr std::int64_t kChunk = std::int64_t{ 1 } << 18;
constexpr std::int64_t kPerBrick = 4096;
constexpr std::int64_t kLargestChunk = std::int64_t{ 1 } << 20;
constexpr std::int64_t kWidth = 4;
// Blocks per thread at which starting one pays, for what takes nanoseconds per point.
constexpr std::int64_t kBlocksPerShare = 256;
// Rows in a task, and tasks per thread at which starting one pays.
constexpr std::int32_t kTaskRows = 16 * kBlock;
constexpr std::int64_t kTasksPerThread = 1;

std::int64_t Blocks(const std::int64_t points)
{
  return (points + kBlock - 1) / kBlock;
}

// An ensemble at a chunk of points; throws std::bad_alloc.
class Evaluation
{
public:
  Evaluation(const amgsrn_partition& partition, const amgsrn_brick* bricks, const int outputs,
    const int width, const int threads)
    : bricks_(bricks)
    , outputs_(outputs)
    , width_(width)
    , threads_(threads)
  {
    MakeCuts(partition, cuts_);
    brick_count_ = cuts_[2].stride * cuts_[2].bricks;
    for (int brick = 0; brick < brick_count_; ++brick)
    {
      if (bricks[brick].network)
      {
        widest_ = std::max(widest_, WidestRow(*bricks[brick].network));
      }
    }
  }

  std::int64_t ChunkSize() const
  {
    const std::int64_t wanted = std::max(kChunk * TeamSize(threads_, 64, 1), kPerBrick * brick_count_);
    const std::int64_t largest = kLargestChunk * kWidth / std::max(kWidth, std::int64_t{ width_ });
    return std::clamp(wanted, std::int64_t{ kBlock }, std::max(largest, std::int64_t{ kBlock }));
  }

  // Calls write(point, sums[width]) for all points.
  template <class Write>
  void Run(const float* points, const std::int32_t count, const Write& write)
  {
    chunk_.points = points;
    chunk_.count = count;
    const std::int64_t blocks = Blocks(count);
    const int team = TeamSize(threads_, blocks, kBlocksPerShare);
    shares_.resize(team);
    for (Share& share : shares_)
    {
      share.bricks.assign(brick_count_, 0);
      share.others = 0;
    }
    ParallelShares(team, blocks,
      [&](const int thread, const std::int64_t first, const std::int64_t end) {
        HWY_DYNAMIC_DISPATCH(CountRows)(cuts_, chunk_, first, end, shares_[thread]);
      });
    Arrange();
    std::vector<std::int32_t> first_others;
    for (const Share& share : shares_)
    {
      first_others.push_back(share.others);
    }
    ParallelShares(team, blocks,
      [&](const int thread, const std::int64_t first, const std::int64_t end) {
        HWY_DYNAMIC_DISPATCH(SortRows)(cuts_, bricks_, width_, chunk_, first, end, shares_[thread]);
      });
    RunTasks();
    ParallelShares(team, blocks,
      [&](const int thread, const std::int64_t first, const std::int64_t end)
      {
        std::int32_t other = first_others[thread];
        for (std::int64_t p = first * kBlock; p < std::min<std::int64_t>(count, end * kBlock); ++p)
        {
          other = Sum(static_cast<std::int32_t>(p), other, shares_[thread].others, write);
        }
      });
  }

private:
  // From numbers of rows to where each share's rows of each brick go, and the tasks.
  void Arrange()
  {
    std::int64_t others = 0, sorted = 0;
    for (Share& share : shares_)
    {
      const std::int32_t number = share.others;
      share.others = static_cast<std::int32_t>(others);
      others += number;
    }
    tasks_.clear();
    const std::size_t rows = static_cast<std::size_t>(chunk_.count + others);
    Reserve(chunk_.order, rows, order_capacity_);
    Reserve(chunk_.other_points, static_cast<std::size_t>(others), others_capacity_);
    Reserve(chunk_.rows, rows * width_, rows_capacity_);
    for (int brick = 0; brick < brick_count_; ++brick)
    {
      const std::int64_t begin = sorted;
      for (Share& share : shares_)
      {
        const std::int32_t number = bricks_[brick].shift ? share.bricks[brick] : 0;
        share.bricks[brick] = static_cast<std::int32_t>(sorted);
        sorted += number;
      }
      for (std::int64_t start = begin; start < sorted; start += kTaskRows)
      {
        const int rest = brick / cuts_[1].stride;
        tasks_.push_back(
          { bricks_ + brick, { brick % cuts_[1].stride, rest % cuts_[1].bricks, rest / cuts_[1].bricks },
            chunk_.order.get() + start,
            static_cast<std::int32_t>(std::min<std::int64_t>(kTaskRows, sorted - start)) });
      }
    }
  }

  template <class T>
  static void Reserve(AlignedArray<T>& array, const std::size_t count, std::size_t& capacity)
  {
    if (count > capacity)
    {
      array.reset();
      array = Allocate<T>(count);
      capacity = array ? count : 0;
      if (!array)
      {
        throw std::bad_alloc();
      }
    }
  }

  void RunTasks()
  {
    std::atomic<bool> failed{ false };
    std::atomic<std::size_t> next{ 0 };
    const int team = TeamSize(threads_, static_cast<std::int64_t>(tasks_.size()), kTasksPerThread);
    ParallelShares(team, team,
      [&](int, std::int64_t, std::int64_t)
      {
        const bool differentiate = width_ != outputs_;
        const AlignedFloats memory = AllocateFloats(differentiate ? 1 : 3 * widest_ * kBlock);
        if (!memory)
        {
          failed = true;
          return;
        }
        float* const scratch[3] = { memory.get(), memory.get() + widest_ * kBlock,
          memory.get() + 2 * widest_ * kBlock };
        for (std::size_t task = next++; task < tasks_.size() && !failed; task = next++)
        {
          if (!differentiate)
          {
            HWY_DYNAMIC_DISPATCH(InferRows)(cuts_, tasks_[task], outputs_, chunk_, scratch);
          }
          else if (!Differentiate(tasks_[task]))
          {
            failed = true;
          }
        }
      });
    if (failed)
    {
      throw std::bad_alloc();
    }
  }

  // False when memory ran out.
  bool Differentiate(const Task& task) const
  {
    BackwardLayers layers;
    GradientScratch scratch;
    const amgsrn_network* const network = task.brick->network;
    if (network && !(PrepareLayers(*network, layers) && PrepareScratch(*network, layers, scratch)))
    {
      return false;
    }
    HWY_DYNAMIC_DISPATCH(DifferentiateRows)(cuts_, task, outputs_, chunk_, layers, scratch);
    return true;
  }

  // Adds up a point's rows: its own, and those from `other` on; returns where the next point's begin. In
  // double precision the order does not matter.
  template <class Write>
  std::int32_t Sum(
    const std::int32_t point, std::int32_t other, const std::int32_t others, const Write& write) const
  {
    const std::int32_t first = other;
    while (other < others && chunk_.other_points[other] == point)
    {
      ++other;
    }
    for (int i = 0; i < width_; ++i)
    {
      double sum = chunk_.rows[static_cast<std::size_t>(point) * width_ + i];
      for (std::int32_t j = first; j < other; ++j)
      {
        sum += chunk_.rows[static_cast<std::size_t>(chunk_.count + j) * width_ + i];
      }
      write(point, i, sum);
    }
    return other;
  }

  const amgsrn_brick* bricks_;
  int outputs_;
  int width_; // of a row: the outputs, or four times as much with slopes
  int threads_;
  int brick_count_ = 0;
  std::size_t widest_ = 1;
  Cuts cuts_[3];
  Chunk chunk_{};
  std::vector<Share> shares_;
  std::vector<Task> tasks_;
  std::size_t order_capacity_ = 0, others_capacity_ = 0, rows_capacity_ = 0;
};

// Calls write(point, number in its row, sum) for all points. Returns 0, or 1 when memory ran out.
template <class Write>
int32_t Evaluate(const amgsrn_partition& partition, const amgsrn_brick* bricks, const int outputs,
  const int width, const float* points, const std::int64_t count, const int threads, const Write& write)
{
  try
  {
    Evaluation evaluation(partition, bricks, outputs, width, threads);
    const std::int64_t size = evaluation.ChunkSize();
    for (std::int64_t start = 0; start < count; start += size)
    {
      evaluation.Run(points + 3 * start, static_cast<std::int32_t>(std::min(size, count - start)),
        [&](const std::int32_t point, const int i, const double sum) { write(start + point, i, sum); });
    }
    return 0;
  }
  catch (const std::bad_alloc&)
  {
    return 1;
  }
}

} // namespace
} // namespace amgsrn

extern "C" int32_t amgsrn_infer_ensemble(const amgsrn_partition* partition, const amgsrn_brick* bricks,
  int32_t outputs, const float* points, int64_t count, float* values, double* sums, int32_t threads)
{
  return amgsrn::Evaluate(*partition, bricks, outputs, outputs, points, count, threads,
    [&](const std::int64_t point, const int i, const double sum)
    {
      if (values)
      {
        values[point * outputs + i] = static_cast<float>(sum);
      }
      else
      {
        sums[point * outputs + i] = sum;
      }
    });
}

extern "C" int32_t amgsrn_ensemble_value_gradient(const amgsrn_partition* partition,
  const amgsrn_brick* bricks, int32_t outputs, const float* points, int64_t count, float* values,
  float* gradients, double* sums, int32_t threads)
{
  const int width = 4 * outputs;
  return amgsrn::Evaluate(*partition, bricks, outputs, width, points, count, threads,
    [&](const std::int64_t point, const int i, const double sum)
    {
      if (!values)
      {
        sums[point * width + i] = sum;
      }
      else if (i % 4 == 0)
      {
        values[point * outputs + i / 4] = static_cast<float>(sum);
      }
      else
      {
        gradients[(point * outputs + i / 4) * 3 + i % 4 - 1] = static_cast<float>(sum);
      }
    });
}

extern "C" int32_t amgsrn_ensemble_touched(
  const amgsrn_partition* partition, const float* points, int64_t count, uint8_t* touched, int32_t threads)
{
  using namespace amgsrn;
  try
  {
    Cuts cuts[3];
    MakeCuts(*partition, cuts);
    const std::size_t bricks = static_cast<std::size_t>(cuts[2].stride) * cuts[2].bricks;
    const std::int64_t blocks = Blocks(count);
    const int team = TeamSize(threads, blocks, kBlocksPerShare);
    std::vector<std::uint8_t> marks(team * bricks);
    ParallelShares(team, blocks,
      [&](const int thread, const std::int64_t first, const std::int64_t end) {
        HWY_DYNAMIC_DISPATCH(MarkTouched)(cuts, points, count, first, end, marks.data() + thread * bricks);
      });
    for (std::size_t brick = 0; brick < bricks; ++brick)
    {
      touched[brick] = 0;
      for (int thread = 0; thread < team; ++thread)
      {
        touched[brick] |= marks[thread * bricks + brick];
      }
    }
    return 0;
  }
  catch (const std::bad_alloc&)
  {
    return 1;
  }
}
#endif
