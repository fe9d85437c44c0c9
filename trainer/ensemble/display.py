# SPDX-License-Identifier: BSD-3-Clause
"""Showing how far an ensemble is: a table of bricks in a terminal, a line every few seconds elsewhere; on stderr."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..progress import console, duration

_LINE_SECONDS = 5.0
# Bricks on their way that a terminal has room for.
_MOST_ROWS = 16


class BrickDisplay:
    """Progress of an ensemble; a context manager.

    Args:
        count: number of bricks.
        quiet: show nothing.
    """

    def __init__(self, count: int, quiet: bool = False) -> None:
        self._count, self._quiet = count, quiet
        self._finished = 0
        self._quality: float | None = None
        self._running: dict[int, _Row] = {}
        self._console = console()
        self._began = self._last_line = time.monotonic()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_terminal:
            self._live = Live(console=self._console, transient=True, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def started(self, brick: int, worker: str) -> None:
        """A brick is on its way."""
        self._running[brick] = _Row(worker)

    def progress(self, brick: int, worker: str, fraction: float, loss: float | None) -> None:
        """A brick has got so far."""
        if brick in self._running:
            row = self._running[brick]
            row.worker, row.fraction, row.loss = worker, fraction, loss

    def ended(self, brick: int, finished: bool, psnr_db: float | None = None) -> None:
        """A brick is finished, or has to be done again.

        Args:
            psnr_db: of all that is finished; None where that is not defined.
        """
        self._running.pop(brick, None)
        if finished:
            self._finished += 1
            self._quality = psnr_db

    def refresh(self) -> None:
        """Show how things are now; to be called every now and then."""
        if self._live is not None:
            self._live.update(self._table())
            return
        now = time.monotonic()
        if self._quiet or now - self._last_line < _LINE_SECONDS:
            return
        self._last_line = now
        self._console.print(self._line(), markup=False)

    def _line(self) -> str:
        queued = self._count - self._finished - len(self._running)
        words = [f"bricks: {self._finished} of {self._count} done", f"{len(self._running)} running", f"{queued} queued"]
        if self._quality is not None:
            words.append(f"{self._quality:.1f} dB so far")
        left = self._seconds_left()
        if left is not None:
            words.append(f"{duration(left)} left")
        return ", ".join(words)

    def _seconds_left(self) -> float | None:
        """Estimated from what this run has done, bricks on their way included; None before there is anything."""
        done = self._finished + sum(row.fraction for row in self._running.values())
        if done < 0.05:
            return None
        return (time.monotonic() - self._began) * (self._count - done) / done

    def _table(self) -> Group:
        table = Table(box=None, padding=(0, 1))
        for name in ("brick", "", "quality", "time", "worker"):
            table.add_column(name)
        now = time.monotonic()
        for brick, row in sorted(self._running.items())[:_MOST_ROWS]:
            quality = "" if not row.loss else f"about {-10.0 * math.log10(row.loss):.1f} dB"
            bar = ProgressBar(total=1.0, completed=row.fraction, width=30)
            table.add_row(str(brick), bar, quality, duration(now - row.began), row.worker)
        more = len(self._running) - _MOST_ROWS
        if more > 0:
            table.add_row("", f"and {more} more")
        whole = Table.grid()
        whole.add_row(ProgressBar(total=self._count, completed=self._finished, width=60))
        return Group(Text(self._line()), whole, table)


class _Row:
    """A brick on its way."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.fraction, self.loss = 0.0, None  # type: float, float | None
        self.began = time.monotonic()
