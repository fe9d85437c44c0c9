# SPDX-License-Identifier: BSD-3-Clause
"""Timing that a busy machine disturbs little: CPU seconds of one thread, the best of several rounds, alternating."""

from __future__ import annotations

import time
from collections.abc import Callable


def cpu_seconds(functions: dict[str, Callable[[], object]], rounds: int = 5) -> dict[str, float]:
    """CPU seconds of each function, best of `rounds`; the functions take turns, so that all see the same machine."""
    for function in functions.values():
        function()
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.process_time()
            function()
            best[name] = min(best[name], time.process_time() - start)
    return best
