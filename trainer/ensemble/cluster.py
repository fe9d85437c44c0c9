# SPDX-License-Identifier: BSD-3-Clause
"""Bricks learned by the workers of a Dask cluster. Dask is imported only when this module is used.

Workers need nothing but the volume, under the same path, and this software: models come back as bytes. A brick whose
worker is lost is done again by another, which Dask sees to.
"""

from __future__ import annotations

import os
import queue
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputNotShared, ResourceLost, SchedulerUnavailable, WorkersDied
from ..volumes import RawFormat, open_volume
from .job import fit_brick
from .runner import Event, Runner
from .task import BrickSummary, BrickTask

# Seconds in which a scheduler has to answer.
_CONNECT_SECONDS = 20
# How many bricks a worker's thread has in all, so that none waits for the next one.
_BRICKS_EACH = 2


class ClusterRunner(Runner):
    """The workers of a Dask cluster.

    Args:
        scheduler: its address (tcp://host:8786), or a scheduler file.
        task: one of those that are to be done, with which workers are tried.
        fingerprint: of the volume as it is here.
        gpu: bricks go to workers with the resource GPU, one to each unit of it.

    Raises:
        SchedulerUnavailable: there is none, or Dask is not installed.
        InputNotShared: a worker cannot read the volume.
    """

    def __init__(self, scheduler: str, task: BrickTask, fingerprint: str, gpu: bool) -> None:
        self._client = _connect(scheduler)
        self._scheduler, self._gpu = scheduler, gpu
        self._running: dict[Any, int] = {}
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._topic = f"amgsrn-{self._client.id}"
        self._client.subscribe_topic(self._topic, self._told)
        try:
            self._check_workers(task, fingerprint)
        except BaseException:
            self._client.close()
            raise

    def free(self) -> int:
        if self._client.status != "running":
            return 0
        threads = sum(worker["nthreads"] for worker in self._client.scheduler_info(n_workers=-1)["workers"].values())
        return max(2, _BRICKS_EACH * threads) - len(self._running)

    def submit(self, tasks: Sequence[BrickTask]) -> None:
        for task in tasks:
            self._submit(task)

    def _submit(self, task: BrickTask) -> None:
        future = self._client.submit(
            _fit_elsewhere,
            task,
            self._topic,
            key=f"{self._topic}-brick-{task.brick}",
            pure=False,
            resources={"GPU": 1} if self._gpu else None,
            # Lower bricks first, as they were given.
            priority=-task.brick,
        )
        self._running[future] = task.brick
        future.add_done_callback(self._ended)

    def wait(self, seconds: float) -> list[Event]:
        events = []
        try:
            events.append(self._events.get(timeout=seconds))
            while True:
                events.append(self._events.get_nowait())
        except queue.Empty:
            pass
        if self._client.status != "running":
            # Then everything counts as cancelled; what was finished before is kept.
            events = [event for event in events if event.kind == "done"]
            if not events:
                raise ResourceLost(
                    f"the Dask scheduler '{self._scheduler}' has gone; finished bricks are kept, the same command goes on"
                )
        return events

    def stop(self, gently: bool) -> None:
        del gently  # what runs on other machines has no checkpoint here
        if self._client.status == "running":
            self._client.cancel(list(self._running), force=True)
        self._running = {}
        self._client.close()

    def processes(self) -> list[int]:
        return []

    def describe(self) -> dict[str, Any]:
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return {"scheduler": self._scheduler, "workers": len(workers), "threads": sum(w["nthreads"] for w in workers)}

    def _ended(self, future: Any) -> None:
        """Called by Dask, in a thread of its own."""
        from distributed import KilledWorker

        brick = self._running.pop(future, None)
        if brick is None:
            return
        if future.status == "cancelled":
            # By somebody else, or because the scheduler has gone, see `wait`.
            self._events.put(Event("lost", brick, error="the scheduler has cancelled it"))
            return
        try:
            if future.status == "finished":
                summary, content, worker = future.result()
                self._events.put(Event("done", brick, worker, summary=summary, content=content))
                return
            error = future.exception()
            if isinstance(error, KilledWorker):
                times = self._client.run_on_scheduler(_allowed_failures) + 1
                error = WorkersDied(brick, times, f"last on {error.last_worker.address}")
        except Exception as problem:
            # Nobody sees what is raised in this thread, and the run would wait for ever.
            error = problem
        self._events.put(Event("failed", brick, error=error))

    def _told(self, message: tuple[float, dict[str, Any]]) -> None:
        _, about = message
        self._events.put(Event(**about))

    def _check_workers(self, task: BrickTask, fingerprint: str) -> None:
        """Make sure that all workers there are can read the volume; wait for the first one."""
        from distributed import TimeoutError as NoWorkers

        try:
            self._client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
        except NoWorkers:
            return
        answers = self._client.run(
            _try, task.input, task.raw, task.variables, task.time, fingerprint, on_error="return"
        )
        for worker, answer in answers.items():
            if isinstance(answer, BaseException):
                raise InputNotShared(worker, f"{type(answer).__name__}: {answer}")
            if answer:
                raise InputNotShared(worker, answer)


def capacity(scheduler: str) -> tuple[int, int | None]:
    """How many bricks a cluster can learn at a time now, and the memory in bytes for each; None where it does not say.

    Raises:
        SchedulerUnavailable: there is none, or Dask is not installed.
    """
    client = _connect(scheduler)
    try:
        workers = list(client.scheduler_info(n_workers=-1)["workers"].values())
    finally:
        client.close()
    memory = [worker["memory_limit"] // max(worker["nthreads"], 1) for worker in workers if worker["memory_limit"]]
    return sum(worker["nthreads"] for worker in workers) or 1, min(memory, default=None)


def _connect(scheduler: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise SchedulerUnavailable(
            "--scheduler needs Dask, which is not installed here; install it with 'pip install distributed'"
        ) from error
    try:
        if "://" not in scheduler and Path(scheduler).is_file():
            return Client(scheduler_file=scheduler, timeout=_CONNECT_SECONDS)
        return Client(scheduler, timeout=_CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SchedulerUnavailable(
            f"there is no Dask scheduler at '{scheduler}' ({reason}); give its address (tcp://host:8786) or its "
            "scheduler file"
        ) from error


def _fit_elsewhere(task: BrickTask, topic: str) -> tuple[BrickSummary, bytes, str]:
    """Learn a brick on a worker: what is known about it, its model file, and the worker's address."""
    from distributed import get_worker

    from ..interrupts import Interrupts

    # As in processes of this machine: one for each brick, for bits depend on their number.
    os.environ["OMP_NUM_THREADS"] = "1"
    worker = get_worker()
    worker.log_event(topic, {"kind": "started", "brick": task.brick, "worker": worker.address})
    with tempfile.TemporaryDirectory(prefix="amgsrn-") as folder:
        output = Path(folder) / "brick.amgsrn"
        summary = fit_brick(task, output, Interrupts())
        return summary, output.read_bytes(), worker.address


def _try(path: str, raw: RawFormat | None, variables: tuple[str, ...], time: int | None, fingerprint: str) -> str:
    """On a worker: why it cannot learn bricks of a volume; empty if it can."""
    try:
        with open_volume(path, raw) as reader:
            found = reader.fingerprint(variables, time)
    except Exception as error:
        return str(error)
    return "" if found == fingerprint else f"'{path}' is another volume there"


def _allowed_failures(dask_scheduler: Any = None) -> int:
    return int(dask_scheduler.allowed_failures)
