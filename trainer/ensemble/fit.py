# SPDX-License-Identifier: BSD-3-Clause
"""Fitting a volume brick by brick: an ensemble of networks (section 5 of the paper)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amgsrn_core.partition import Partition
from amgsrn_core.threads import thread_count

from ..errors import InvalidOption, NothingButMissing
from ..fit import FitResult, finished_before, missed_target
from ..progress import Display, say_on_stderr
from ..settings import FitSettings
from ..volumes import RawFormat, VolumeReader, open_volume
from ..volumes.layout import VolumeLayout
from ..volumes.names import array_name
from ..volumes.settle import settle
from ..volumes.volume import array_info
from .assembly import Figures, assemble
from .choice import (
    Grid,
    Resources,
    Triple,
    bricks_together,
    choose_bricks,
    choose_partition,
    partition_values,
    workers_within,
)
from .goals import brick_settings
from .halos import read_brick
from .journal import Journal
from .local import LocalRunner
from .parts import Parts
from .run import Run
from .runner import Runner
from .task import BrickSummary, BrickTask
from .together import can_learn_together


@dataclass(frozen=True)
class Source:
    """A volume in a file, not read yet.

    Attributes:
        path: of the file.
        layout: of the volume.
        time: the time step; None for a variable without time.
        name: of the array.
        fingerprint: see `VolumeReader.fingerprint`.
        raw: what the file holds if it has nothing but numbers.
    """

    path: Path
    layout: VolumeLayout
    time: int | None
    name: str
    fingerprint: str
    raw: RawFormat | None = None

    @classmethod
    def of(
        cls, path: Path, variable: str | None, time: int | None, name: str | None, raw: RawFormat | None = None
    ) -> Source:
        """Look at a file.

        Raises:
            VolumeError: see `VolumeReader.read`.
        """
        with open_volume(path, raw) as reader:
            fingerprint = reader.fingerprint(variable, time)
            layout = reader.layout(variable, time)
        step = None if layout.steps is None else (time or 0) % layout.steps
        return cls(path.resolve(), layout, step, name or array_name(layout.variables), fingerprint, raw)

    @property
    def grid(self) -> Grid:
        """What is to be cut."""
        return Grid.of(self.layout)

    @property
    def bytes(self) -> int:
        """Of all values in the file's type, uncompressed."""
        return self.grid.values * self.layout.itemsize


@dataclass(frozen=True)
class EnsembleOptions:
    """How an ensemble is fitted.

    Attributes:
        bricks: along x, y and z; None to choose.
        overlap: half width in nodes of the zone in which neighbours are blended.
        devices: to train on; processes are shared out among them.
        resources: what may be used.
        scheduler: of a Dask cluster; None for processes of this machine.
        only: bricks to finish, without making a model; None for all, and the model.
        checkpoint_interval: seconds between checkpoints of each brick.
        overwrite: replace an output, or parts, of another fit.
        quiet: show no progress.
        say: receives messages for the user, one line each.
        log: file for `Journal`.
    """

    bricks: Triple | None
    overlap: float
    devices: tuple[str, ...]
    resources: Resources
    scheduler: str | None = None
    only: tuple[int, ...] | None = None
    checkpoint_interval: float = 10.0
    overwrite: bool = False
    quiet: bool = False
    say: Callable[[str], object] = say_on_stderr
    log: Path | None = None


def fit_ensemble(source: Source, output: Path, settings: FitSettings, options: EnsembleOptions) -> FitResult:
    """Fit a network to each brick of a volume and write them as one .amgsrn file; goes on where an interrupted run of the
    same stopped.

    Raises:
        OutputNotWritable, OutputExists, OutputBusy, CheckpointMismatch, InvalidOption, VolumeError,
            SchedulerUnavailable, InputNotShared: before anything is learned.
        FitInterrupted: by Ctrl-C or SIGTERM; finished bricks are kept.
        WorkersDied, FitDiverged: a brick cannot be learned; the others are kept.
        NothingButMissing: no brick has a value.
        ModelNotWritable: no space, say; finished bricks are kept.
    """
    identity = {
        **settings.to_dict(),
        "variable": ",".join(source.layout.variables),
        "array": source.name,
        "time_index": source.time,
        "shape": list(source.layout.domain.shape),
        "fingerprint": source.fingerprint,
        "bricks": "auto" if options.bricks is None else list(options.bricks),
        "ghost": options.overlap,
    }
    done = finished_before(output, identity, options.overwrite)
    if done is not None:
        return FitResult(done, fresh=False)
    journal = Journal(options.log)
    try:
        with Parts(output, identity, options.overwrite) as parts:
            # Another run may have finished it before this one got the lock.
            done = finished_before(output, identity, options.overwrite)
            if done is not None:
                parts.remove()
                return FitResult(done, fresh=False)
            return FitResult(_fit(source, output, settings, options, identity, parts, journal), fresh=True)
    finally:
        journal.close()


def _fit(
    source: Source,
    output: Path,
    settings: FitSettings,
    options: EnsembleOptions,
    identity: dict[str, Any],
    parts: Parts,
    journal: Journal,
) -> dict[str, Any]:
    partition, notes = parts.plan() or _begin(source, settings, options, parts)
    largest = partition_values(partition) * source.layout.components
    workers = workers_within(largest, options.resources, partition.count)
    tasks = _tasks(source, settings, options, partition, notes, min(workers, partition.count))
    finished = parts.finished(partition)
    if finished:
        options.say(f"resuming with {len(finished)} of {partition.count} bricks done")
    wanted = _wanted(options.only, partition)
    run = Run(parts, tasks, finished, source.layout.names, journal, options.quiet)
    journal.write("begun", bricks=list(partition.bricks), done=len(finished), edges=partition.to_dict()["edges"])
    if wanted - finished.keys():
        runner = _runner(source, options, parts, tasks, min(workers, len(wanted - finished.keys())))
        options.say(_about(partition, workers, options))
        run.do(wanted, runner)
    figures = Figures.of([run.finished[brick] for brick in sorted(run.finished)], source.layout.names)
    training = _training(source, settings, identity, partition, notes, run, figures)
    if options.only is None:
        if not figures.ranges:
            parts.remove()
            raise NothingButMissing(source.path, ",".join(source.layout.variables))
        array = array_info(source.name, source.layout.names, source.layout.units, figures.ranges)
        stored = {key: value for key, value in training.items() if key != "peak_memory_bytes"}
        assemble(output, parts, partition, run.finished, source.layout.domain, array, stored)
        journal.write("assembled", model=str(output), bytes=output.stat().st_size)
        parts.remove()
        warning = missed_target(training)
        if warning:
            options.say(warning)
    journal.write("ended", **{key: training[key] for key in ("psnr_db", "seconds", "cpu_seconds", "bricks_done")})
    return training


def _begin(
    source: Source, settings: FitSettings, options: EnsembleOptions, parts: Parts
) -> tuple[Partition, dict[str, Any]]:
    """Cut the volume, and look through it where a goal needs that."""
    bricks = options.bricks or choose_bricks(source.grid, options.resources, options.overlap)
    partition = choose_partition(source.grid, bricks, options.overlap)
    notes: dict[str, Any] = {}
    if settings.target_psnr is not None:
        notes = _look_through(source, partition, options.quiet)
    parts.settle(partition, notes)
    return partition, notes


def _look_through(source: Source, partition: Partition, quiet: bool) -> dict[str, Any]:
    """The spans of the values in the whole volume, which a target in dB is about, and the bytes decoded to find them."""
    components = source.layout.components
    lows, highs = [math.inf] * components, [-math.inf] * components
    with (
        open_volume(source.path, source.raw) as reader,
        Display("looking through", partition.count, quiet=quiet) as display,
    ):
        for brick in range(partition.count):
            ranges, _ = settle(_values(reader, source, partition, brick))
            lows = [min(low, found) for low, (found, _) in zip(lows, ranges, strict=True)]
            highs = [max(high, found) for high, (_, found) in zip(highs, ranges, strict=True)]
            display.update(brick + 1)
        return {
            "spans": [max(0.0, high - low) for low, high in zip(lows, highs, strict=True)],
            "bytes_read": reader.bytes_read,
        }


def _values(reader: VolumeReader, source: Source, partition: Partition, brick: int) -> Any:
    layout = source.layout
    return read_brick(reader, layout.variables, source.time, partition, brick, layout.components, None)


def _tasks(
    source: Source,
    settings: FitSettings,
    options: EnsembleOptions,
    partition: Partition,
    notes: dict[str, Any],
    workers: int,
) -> dict[int, BrickTask]:
    spans = tuple(notes["spans"]) if "spans" in notes else None
    return {
        brick: BrickTask(
            brick,
            str(source.path),
            source.layout.variables,
            source.time,
            source.name,
            partition,
            brick_settings(settings, brick, partition.count, workers),
            spans,
            options.devices[0],
            options.checkpoint_interval,
            source.raw,
        )
        for brick in range(partition.count)
    }


def _wanted(only: Sequence[int] | None, partition: Partition) -> set[int]:
    if only is None:
        return set(range(partition.count))
    wrong = [brick for brick in only if not 0 <= brick < partition.count]
    if wrong:
        raise InvalidOption(f"--only-bricks {wrong[0]} makes no sense; there are bricks 0 to {partition.count - 1}")
    return set(only)


def _runner(
    source: Source, options: EnsembleOptions, parts: Parts, tasks: dict[int, BrickTask], workers: int
) -> Runner:
    if options.scheduler is not None:
        from .cluster import ClusterRunner

        return ClusterRunner(options.scheduler, tasks[0], source.fingerprint, options.devices[0] not in ("auto", "cpu"))
    devices = [options.devices[k % len(options.devices)] for k in range(workers)]
    threads = max(1, thread_count() // options.resources.workers)
    return LocalRunner(parts.path, devices, threads, _together(source, options, tasks, workers))


def _together(source: Source, options: EnsembleOptions, tasks: dict[int, BrickTask], workers: int) -> int:
    """How many bricks a GPU learns at the same time; one where there is none."""
    if options.devices[0] == "cpu" or not can_learn_together(tasks[0].settings):
        return 1
    largest = partition_values(tasks[0].partition) * source.layout.components
    return min(bricks_together(largest, workers, options.resources), math.ceil(len(tasks) / workers))


def _about(partition: Partition, workers: int, options: EnsembleOptions) -> str:
    x, y, z = (max(b - a + 1 for a, b in partition.axis_extents(axis)) for axis in range(3))
    cut = " x ".join(map(str, partition.bricks))
    who = f"the cluster at {options.scheduler}" if options.scheduler is not None else f"{workers} processes"
    return f"{cut} bricks of up to {x} x {y} x {z} nodes, by {who}"


def _training(
    source: Source,
    settings: FitSettings,
    identity: dict[str, Any],
    partition: Partition,
    notes: dict[str, Any],
    run: Run,
    figures: Figures,
) -> dict[str, Any]:
    """What the model says about how it was made."""
    totals = run.totals()
    totals["bytes_read"] += notes.get("bytes_read", 0)
    summaries = [run.finished[brick] for brick in sorted(run.finished)]
    target = settings.target_psnr
    about_target = {}
    if target is not None:
        reached = figures.psnr_db is None or figures.psnr_db >= target
        about_target = {"target_psnr_db": target, "target_reached": reached}
    nodes = math.prod(source.layout.domain.dimensions)
    return {
        "recipe": settings.recipe.name,
        "settings": settings.to_dict(),
        "seed": settings.seed,
        "bricks": list(partition.bricks),
        "ghost": identity["ghost"],
        **totals,
        **about_target,
        **figures.to_dict(),
        "source": {
            "file": source.path.name,
            "variable": identity["variable"],
            "time_index": source.time,
            "bytes": source.bytes,
            "shape": identity["shape"],
            "missing": nodes - sum(summary.valid for summary in summaries),
            "fingerprint": _joint(summaries),
        },
        "identity": identity,
        "peak_memory_bytes": run.peak_memory,
    }


def _joint(summaries: Sequence[BrickSummary]) -> str:
    """A short hash of all values that were learned."""
    digest = hashlib.blake2b(digest_size=16)
    for summary in summaries:
        digest.update(summary.fingerprint.encode())
    return digest.hexdigest()
