# SPDX-License-Identifier: BSD-3-Clause
"""Timing that a busy machine disturbs little: the best of several rounds, alternating; on the CPU, seconds of one thread."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

# Long enough for the clock, and for caches to be as they are in use rather than as the other function left them.
_SHORTEST = 0.1


def seconds_per_call(
    functions: dict[str, Callable[[], object]], device: torch.device, rounds: int = 5
) -> dict[str, float]:
    """Seconds per call of each function, best of `rounds`; they take turns, so that all see the same machine.

    CPU seconds on the CPU; on a GPU, time until it has done the work of many calls.
    """
    calls = {
        name: max(1, round(_SHORTEST / max(_measure(function, 1, device), 1e-6)))
        for name, function in functions.items()
    }
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(rounds):
        for name, function in functions.items():
            best[name] = min(best[name], _measure(function, calls[name], device))
    return best


def _measure(function: Callable[[], object], calls: int, device: torch.device) -> float:
    function()
    start = _clock(device)
    for _ in range(calls):
        function()
    return (_clock(device) - start) / calls


def _clock(device: torch.device) -> float:
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()
