# SPDX-License-Identifier: BSD-3-Clause
"""Bricks learned by processes of this machine, one brick per process at a time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any

from .runner import Event, Runner
from .task import BrickTask

_PACKAGE = Path(__file__).resolve().parents[2]
# Seconds that fits have to write their checkpoints.
_GENTLE_SECONDS = 20.0


@dataclass(eq=False)
class _Worker:
    """A process and what it is doing."""

    process: subprocess.Popen[bytes]
    connection: Connection
    device: str
    bricks: set[int] = field(default_factory=set)

    @property
    def name(self) -> str:
        return f"process {self.process.pid}"


class LocalRunner(Runner):
    """Processes, each started when it is first needed, and anew when it has died.

    Args:
        folder: of the parts.
        devices: one for each process.
        threads: of each.
        together: bricks that each learns at the same time.
    """

    shares_layers = True

    def __init__(self, folder: Path, devices: Sequence[str], threads: int, together: int = 1) -> None:
        self._folder, self._devices, self._threads = folder, list(devices), threads
        self._workers: list[_Worker] = []
        self.together = together

    def free(self) -> int:
        return len(self._devices) - sum(bool(worker.bricks) for worker in self._workers)

    def submit(self, tasks: Sequence[BrickTask]) -> None:
        worker = next((w for w in self._workers if not w.bricks), None) or self._start()
        worker.bricks = {task.brick for task in tasks}
        # Where it is dead already `wait` will find out.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            worker.connection.send([replace(task, device=worker.device) for task in tasks])

    def wait(self, seconds: float) -> list[Event]:
        busy = {worker.connection: worker for worker in self._workers if worker.bricks}
        events = []
        for connection in wait(list(busy), seconds):
            worker = busy[connection]  # type: ignore[index]
            try:
                event: Event = worker.connection.recv()
            except (EOFError, OSError):  # OSError: killed in the middle of a word
                reason = self._bury(worker)
                events += [Event("lost", brick, worker.name, error=reason) for brick in sorted(worker.bricks)]
                continue
            if event.kind in ("done", "failed"):
                worker.bricks.discard(event.brick)
            events.append(replace(event, worker=worker.name))
        return events

    def stop(self, gently: bool) -> None:
        for worker in self._workers:
            if gently and worker.bricks:
                worker.process.send_signal(signal.SIGTERM)
            else:
                worker.process.kill()
        end = time.monotonic() + _GENTLE_SECONDS
        for worker in self._workers:
            try:
                worker.process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.connection.close()
        self._workers = []

    def processes(self) -> list[int]:
        return [worker.process.pid for worker in self._workers]

    def describe(self) -> dict[str, Any]:
        return {"workers": len(self._devices), "threads": self._threads, "devices": sorted(set(self._devices))}

    def _start(self) -> _Worker:
        used = [worker.device for worker in self._workers]
        device = next(d for d in self._devices if used.count(d) < self._devices.count(d))
        ours, theirs = Pipe()
        path = os.pathsep.join(filter(None, [str(_PACKAGE), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(self._threads)}
        process = subprocess.Popen(
            [sys.executable, "-m", "trainer.ensemble.worker", str(theirs.fileno()), str(self._folder)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=environment,
            # Ctrl-C is for whoever directs the run, who then ends its workers.
            process_group=0,
        )
        theirs.close()
        worker = _Worker(process, ours, device)
        self._workers.append(worker)
        return worker

    def _bury(self, worker: _Worker) -> str:
        """Forget a dead worker; how it died."""
        worker.connection.close()
        self._workers.remove(worker)
        try:
            code = worker.process.wait(10.0)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            code = worker.process.wait()
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
