# SPDX-License-Identifier: BSD-3-Clause
"""One run of an ensemble's fit: hands bricks to a runner until all are finished, and makes one model of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..errors import FitInterrupted
from ..interrupts import Interrupts
from .assembly import Figures
from .display import BrickDisplay
from .halos import Halos
from .journal import Journal
from .memory import tree_bytes
from .order import BrickQueue
from .parts import Parts
from .runner import Event, Runner
from .task import BrickSummary, BrickTask

# Seconds between two looks at memory and signals.
_LOOK_EVERY = 0.3
# Seconds between two figures of quality.
_FIGURES_EVERY = 2.0


class Run:
    """Hands out bricks and takes them back.

    Args:
        parts: where finished bricks are kept.
        tasks: all bricks of the ensemble, by their numbers.
        finished: those that are.
        names: of the components.
        journal: told of all that happens.
        quiet: show no progress.

    Attributes:
        finished: what is known about finished bricks, by their numbers.
        peak_memory: most that this process and its workers have held together, bytes.
    """

    def __init__(
        self,
        parts: Parts,
        tasks: dict[int, BrickTask],
        finished: dict[int, BrickSummary],
        names: tuple[str, ...],
        journal: Journal,
        quiet: bool,
    ) -> None:
        self._parts, self._tasks, self._names = parts, tasks, names
        self._journal, self._quiet = journal, quiet
        self.finished = finished
        self.peak_memory = tree_bytes([os.getpid()])
        self._wall = max((summary.wall for summary in finished.values()), default=0.0)
        self._began, self._began_cpu = time.monotonic(), time.process_time()
        self._figures: Figures | None = None
        self._figures_made = 0.0

    @property
    def seconds(self) -> float:
        """Wall time of all runs of this ensemble until now, as far as they have finished bricks."""
        return self._wall + time.monotonic() - self._began

    def do(self, bricks: Iterable[int], runner: Runner) -> None:
        """Finish bricks.

        Raises:
            FitInterrupted: by Ctrl-C or SIGTERM; finished bricks are kept, and checkpoints of the others.
            WorkersDied: again and again over one brick.
            AmgsrnError: a brick cannot be learned.
        """
        todo = sorted(set(bricks) - self.finished.keys())
        partition = next(iter(self._tasks.values())).partition
        order = BrickQueue(partition, todo, runner.shares_layers)
        halos = Halos(self._parts.path, partition)
        with Interrupts() as interrupts, BrickDisplay(len(todo), self._quiet) as display, runner:
            while not order.empty:
                while runner.free() > 0 and (group := order.next(runner.together)):
                    runner.submit([self._tasks[brick] for brick in group])
                    if runner.shares_layers:
                        for brick in group:
                            self._started(Event("started", brick), display)
                for event in runner.wait(_LOOK_EVERY):
                    self._handle(event, order, halos, display, runner)
                self.peak_memory = max(self.peak_memory, tree_bytes([os.getpid(), *runner.processes()]))
                display.refresh()
                if interrupts.requested:
                    runner.stop(gently=True)
                    raise FitInterrupted(
                        f"interrupted with {len(self.finished)} of {len(self._tasks)} bricks done; "
                        "run the same command again to go on"
                    )

    def _handle(self, event: Event, order: BrickQueue, halos: Halos, display: BrickDisplay, runner: Runner) -> None:
        brick = event.brick
        if event.kind == "started":
            self._started(event, display)
        elif event.kind == "read":
            order.read(brick)
        elif event.kind == "progress":
            display.progress(brick, event.worker, event.fraction, event.loss)
        elif event.kind == "lost":
            self._journal.write("lost", brick=brick, worker=event.worker, reason=str(event.error))
            display.ended(brick, finished=False)
            order.lost(brick, str(event.error))
        elif event.kind == "failed":
            assert isinstance(event.error, BaseException)
            self._journal.write("failed", brick=brick, worker=event.worker, reason=str(event.error))
            runner.stop(gently=True)
            raise event.error
        elif event.kind == "done":
            assert event.summary is not None
            summary = replace(event.summary, wall=round(self.seconds, 3))
            self._parts.accept(summary, event.content)
            self.finished[brick] = summary
            halos.remove(brick)
            order.done(brick)
            display.ended(brick, finished=True, psnr_db=self._quality())
            self._journal.write("done", worker=event.worker, **summary.to_dict())

    def _quality(self) -> float | None:
        """PSNR of all that is finished, dB; looked at now and then only, for there may be many bricks."""
        now = time.monotonic()
        if self._figures is None or now - self._figures_made > _FIGURES_EVERY:
            self._figures, self._figures_made = Figures.of(list(self.finished.values()), self._names), now
        return self._figures.psnr_db

    def _started(self, event: Event, display: BrickDisplay) -> None:
        display.started(event.brick, event.worker)
        self._journal.write("started", brick=event.brick, worker=event.worker)

    def totals(self) -> dict[str, Any]:
        """What all finished bricks have cost, JSON-ready, keys as those of a single fit."""
        summaries = self.finished.values()
        points = sum(s.points for s in summaries)
        cpu = sum(s.cpu_seconds for s in summaries) + time.process_time() - self._began_cpu
        return {
            "steps": sum(s.steps for s in summaries),
            "points": points,
            "seconds": round(self.seconds, 3),
            "cpu_seconds": round(cpu, 3),
            "points_per_second": round(points / max(self.seconds, 1e-9), 1),
            "parameters": sum(s.parameters for s in summaries),
            "bricks_done": len(summaries),
            "constant_bricks": sum(s.kind == "constant" for s in summaries),
            "bytes_read": sum(s.bytes_read for s in summaries),
            "bytes_needed": sum(s.bytes_needed for s in summaries),
        }
