# SPDX-License-Identifier: BSD-3-Clause
"""How much memory fits need, how much there is, and how much the processes of a run hold."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import torch

from amgsrn_core.memory import available_bytes

# Measured on CPUs: a Python process with PyTorch before it has read anything; what a fit needs for every byte of its
# brick's values (the values, and the copies and errors that sampling, placing and measuring make of parts of them);
# and for every parameter (itself, gradient, Adam's moments, a checkpoint and a stored copy).
PROCESS_BYTES = 280 << 20
FIT_BYTES = 64 << 20
BYTES_PER_VALUE_BYTE = 2.2
BYTES_PER_PARAMETER = 96
# Of the memory that is free when a run starts, the part it may have if nobody says otherwise.
_SHARE = 0.8


def fit_bytes(values: int, parameters: int) -> int:
    """Memory of a fit, without its process.

    Args:
        values: float32 values of the volume or brick.
        parameters: of the network.
    """
    return int(FIT_BYTES + BYTES_PER_VALUE_BYTE * 4 * values + BYTES_PER_PARAMETER * parameters)


def values_within(limit: int, parameters: int) -> int:
    """Number of values that a fit in so many bytes, without its process, may have; 0 where nothing fits."""
    return max(0, int((limit - fit_bytes(0, parameters)) / (4 * BYTES_PER_VALUE_BYTE)))


def memory_to_use() -> int:
    """Bytes that a run may take of this machine: most of what is free, or of what its container leaves."""
    free = available_bytes(torch.device("cpu"))
    if free is None:
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(_SHARE * free)


def tree_bytes(processes: list[int]) -> int:
    """Resident memory of some processes together, bytes; those that have ended count nothing. Pages they share count
    for each."""
    pages = 0
    for process in processes:
        with contextlib.suppress(OSError, ValueError, IndexError):
            pages += int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
