// SPDX-License-Identifier: BSD-3-Clause
// Sharing work among threads. Threads live for one call only: an OpenMP team beside PyTorch's own makes the
// two spin for the same cores (ten times slower on a busy machine), and nothing is left over that a fork
// could break.
#pragma once

#include <algorithm>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

namespace amgsrn
{

// Threads worth starting for `count` pieces of work, of which each thread should get at least
// `pieces_per_thread`.
inline int TeamSize(const int wanted, const std::int64_t count, const std::int64_t pieces_per_thread)
{
  const int available =
    wanted > 0 ? wanted : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return static_cast<int>(std::clamp<std::int64_t>(count / pieces_per_thread, 1, available));
}

// Calls work(thread, first, end) for `team` contiguous shares of [0, count), the first one in the calling
// thread. A share is the same whichever thread does it, so that sums per share do not depend on timing.
template <class Work>
void ParallelShares(const int team, const std::int64_t count, const Work& work)
{
  const auto share = [&](const int thread)
  { work(thread, count * thread / team, count * (thread + 1) / team); };
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(team - 1));
  int started = 1;
  try
  {
    for (; started < team; ++started)
    {
      threads.emplace_back(share, started);
    }
  }
  catch (const std::system_error&)
  {
    // No more threads to be had: the caller does what is left.
  }
  share(0);
  for (int thread = started; thread < team; ++thread)
  {
    share(thread);
  }
  for (std::thread& thread : threads)
  {
    thread.join();
  }
}

} // namespace amgsrn
