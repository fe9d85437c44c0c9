# SPDX-License-Identifier: BSD-3-Clause
"""Timing that a busy machine disturbs little: CPU seconds of one thread, the best of several rounds, alternating."""

from __future__ import annotations

import time
from collections.abc import Callable

# Long enough for the clock, and for caches to be as they are in use rather than as the other function left them.
_SHORTEST = 0.1


def cpu_seconds(functions: dict[str, Callable[[], object]], rounds: int = 5) -> dict[str, float]:
    """CPU seconds per call of each function, best of `rounds`; they take turns, so that all see the same machine."""
    calls = {name: max(1, round(_SHORTEST / max(_measure(function, 1), 1e-6))) for name, function in functions.items()}
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(rounds):
        for name, function in functions.items():
            best[name] = min(best[name], _measure(function, calls[name]))
    return best


def _measure(function: Callable[[], object], calls: int) -> float:
    function()
    start = time.process_time()
    for _ in range(calls):
        function()
    return (time.process_time() - start) / calls
