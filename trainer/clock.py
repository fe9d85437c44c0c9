# SPDX-License-Identifier: BSD-3-Clause
"""What a fit has cost, over all its runs."""

from __future__ import annotations

import time
from dataclasses import replace

from .checkpoint import Progress


class Clock:
    """Counts from when it is made, on top of what earlier runs have cost.

    Args:
        earlier: the progress that earlier runs have made.
    """

    def __init__(self, earlier: Progress) -> None:
        self._earlier = earlier
        self._began, self._cpu = time.monotonic(), time.process_time()
        self._training: float | None = None

    def start_training(self) -> None:
        """The first step of this run begins, unless it has begun already."""
        if self._training is None:
            self._training = time.monotonic()

    def training_seconds(self) -> float:
        """Wall time since the first step, in all runs."""
        before = self._earlier.training_seconds
        return before if self._training is None else before + time.monotonic() - self._training

    def spent(self, progress: Progress) -> Progress:
        """A progress with the costs until now."""
        return replace(
            progress,
            seconds=self._earlier.seconds + time.monotonic() - self._began,
            cpu_seconds=self._earlier.cpu_seconds + time.process_time() - self._cpu,
        )
