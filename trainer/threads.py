# SPDX-License-Identifier: BSD-3-Clause
"""How many threads a training step is worth, and how much memory a process has used so far."""

from __future__ import annotations

import resource
import sys
from contextlib import AbstractContextManager

import torch

from amgsrn_core import kernels
from amgsrn_core.threads import one_torch_thread

# Below this many parameters PyTorch's threads wait for each other longer than they work: measured on two busy cores,
# 2000 steps of the small network took 7 CPU seconds with one thread and 200 with two.
_WORTH_THREADS = 500_000


def training_threads(parameters: int, device: torch.device) -> AbstractContextManager[None]:
    """Sets PyTorch's number of threads for training inside the block: one where compiled kernels, which have threads of
    their own, do the work, or where there is little of it."""
    return one_torch_thread(kernels.chosen_backend(device.type)[0] == "cpu" or parameters < _WORTH_THREADS)


def peak_memory() -> int:
    """Most memory the process has held so far, bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
