# SPDX-License-Identifier: BSD-3-Clause
"""How many threads work on what.

The compiled kernels share their work among threads of their own. PyTorch's then only get in the way: between two
operations they spin, and take the cores from whoever has work to do.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch


def thread_count() -> int:
    """Threads that the compiled kernels use: OMP_NUM_THREADS where it is set, else the cores this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def one_torch_thread(wanted: bool = True) -> Iterator[None]:
    """PyTorch keeps to the calling thread inside the block, if wanted."""
    before = torch.get_num_threads()
    if wanted and before != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if wanted and before != 1:
            torch.set_num_threads(before)
