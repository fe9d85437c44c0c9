# SPDX-License-Identifier: BSD-3-Clause
"""Showing how far a command is: a bar in a terminal, a line every few seconds elsewhere. All of it goes to stderr."""

from __future__ import annotations

import math
import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_SECONDS = 5.0
# Share of the newest value in the running mean of the loss, which is that of about the last 10 updates.
_LOSS_WEIGHT = 0.1


def console() -> Console:
    """Where messages go: stderr, as it is now (tests replace it)."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=True)


def say_on_stderr(message: str) -> None:
    """A message for the user, one line."""
    console().print(message, markup=False)


class Display:
    """Progress of one stage of a command; a context manager.

    Args:
        stage: what is being done, one or two words.
        total: number of units; `update` is given how many are done.
        start: units done already (in an earlier run).
        quiet: show nothing.
    """

    def __init__(self, stage: str, total: int, start: int = 0, quiet: bool = False) -> None:
        self._stage, self._total, self._start = stage, total, start
        self._quiet = quiet
        self._console = console()
        self._began = self._last_line = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.fields[details]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
                refresh_per_second=5,
            )
            self._bar.start()
            self._task = self._bar.add_task(self._stage, total=self._total, completed=self._start, details="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, details: str = "") -> None:
        """Tell how many units are done, and what else there is to say."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, details=details)
            return
        now = time.monotonic()
        if self._quiet or now - self._last_line < _LINE_SECONDS:
            return
        self._last_line = now
        left = (now - self._began) * (self._total - done) / max(done - self._start, 1)
        words = [f"{self._stage}: {100 * done / self._total:.0f}%", details, f"{duration(left)} left"]
        self._console.print(", ".join(word for word in words if word), markup=False)


class RunningLoss:
    """Running mean of the loss and the PSNR that it amounts to, in dB."""

    def __init__(self) -> None:
        self._mean: float | None = None

    @property
    def mean(self) -> float | None:
        """The mean so far; None before the first loss."""
        return self._mean

    def add(self, loss: float) -> None:
        """Take a loss (mean squared error in units of the value range) into account."""
        self._mean = loss if self._mean is None else self._mean + _LOSS_WEIGHT * (loss - self._mean)

    def describe(self) -> str:
        """Loss and PSNR as text; empty before the first loss."""
        if self._mean is None:
            return ""
        psnr = -10.0 * math.log10(self._mean) if self._mean > 0 else math.inf
        return f"loss {self._mean:.2e}, about {psnr:.1f} dB"


def duration(seconds: float) -> str:
    """Time as text: 1:05, 2:00:00."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
