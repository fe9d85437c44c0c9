# SPDX-License-Identifier: BSD-3-Clause
"""Learning one brick: from its place in the volume to a model file."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from amgsrn_core.device import select_device
from amgsrn_core.models import ConstantField, Mask, MaskedField
from amgsrn_core.storage import save_field

from ..checkpoint import checkpoint_path
from ..errors import FitDiverged, NothingButMissing, TargetSizeTooSmall
from ..fitting import Fit, FitOptions
from ..interrupts import Interrupts
from ..mesh_nodes import mesh_nodes
from ..settings import FitSettings
from ..threads import peak_memory
from ..volumes import Volume, VolumeSource, open_volume
from ..volumes.names import array_name
from ..volumes.region import Region, slices
from ..volumes.settle import settle
from .halos import Halos, read_brick
from .task import BrickSummary, BrickTask

# The target of a brick whose range is next to nothing.
_LEAST_DB = 0.1

Watch = Callable[[float, float | None], object]


def fit_brick(
    task: BrickTask,
    output: Path,
    interrupts: Interrupts,
    halos: Halos | None = None,
    when_read: Callable[[int], object] | None = None,
    watch: Watch | None = None,
) -> BrickSummary:
    """Learn a brick and write its model, all or nothing; goes on from a checkpoint beside the output if there is one.

    Args:
        task: which brick, and how.
        output: its model file.
        interrupts: asked between steps.
        halos: layers of values that neighbours share, see `read_brick`.
        when_read: called with the brick's number when the file is not needed any more.
        watch: see `FitOptions`.

    Raises:
        InvalidOption: no network is as small as the brick's part of the target size.
        VolumeError, FitDiverged, FitInterrupted, ModelNotWritable: see `fit_volume`.
    """
    brick = Brick(task, output, halos)
    if when_read is not None:
        when_read(task.brick)
    return brick.summary(brick.nothing_to_learn() or _fit(brick, interrupts, watch))


class Brick:
    """A brick that has been read.

    Args:
        task, output, halos: see `fit_brick`.

    Attributes:
        task, output: likewise.
        volume: its values; there may be no valid one among them.
        region: its own nodes, counted from the first of its extent.
        fingerprint: of the volume.
    """

    def __init__(self, task: BrickTask, output: Path, halos: Halos | None) -> None:
        self._began, self._began_cpu = time.monotonic(), time.process_time()
        self.task, self.output = task, output
        self.volume, self._bytes_read = _read(task, halos)
        self.region = _within(task.own, task.extent)
        self.fingerprint = self.volume.fingerprint()

    def nothing_to_learn(self) -> Learned | None:
        """Write the model if all values are the same, or missing; None if there is anything to learn."""
        return Learned("constant") if _write_constant(self.volume, self.output) else None

    def summary(self, learned: Learned, share: float = 1.0) -> BrickSummary:
        """What is known about the brick now that its model is written.

        Args:
            learned: what came out.
            share: of the time since it was begun, where others were learned in it, too.
        """
        volume = self.volume
        valid = int(np.isfinite(volume.values[slices(self.region)][..., 0]).sum())
        spent, cpu = time.monotonic() - self._began, time.process_time() - self._began_cpu
        nothing = (0.0,) * volume.components
        return BrickSummary(
            brick=self.task.brick,
            kind=learned.kind,
            valid=valid,
            counted=valid if volume.mesh is None else len(mesh_nodes(volume, volume.mesh, self.region)[0]),
            ranges=volume.ranges if volume.valid else (),
            rmse=learned.rmse or nothing,
            max_abs_error=learned.max_abs_error or nothing,
            parameters=learned.parameters,
            steps=learned.steps,
            points=learned.points,
            seconds=round(share * spent + learned.seconds_before, 3),
            cpu_seconds=round(share * cpu + learned.cpu_seconds_before, 3),
            bytes_read=self._bytes_read,
            bytes_needed=volume.source.bytes,
            peak_memory=peak_memory(),
            fingerprint=self.fingerprint,
            psnr_db=learned.psnr_db,
            target_reached=learned.target_reached,
        )


@dataclass(frozen=True)
class Learned:
    """What came out of a brick's fit, see `BrickSummary`; `seconds_before` and `cpu_seconds_before` are the costs of
    earlier runs of it, ended before its end."""

    kind: str
    rmse: tuple[float, ...] = ()
    max_abs_error: tuple[float, ...] = ()
    parameters: int = 0
    steps: int = 0
    points: int = 0
    psnr_db: float | None = None
    target_reached: bool = True
    seconds_before: float = 0.0
    cpu_seconds_before: float = 0.0

    @classmethod
    def of(cls, training: dict[str, Any], **more: Any) -> Learned:
        """What a model says about its training."""
        parts = training.get("components") or [training]
        return cls(
            "amgsrn",
            tuple(float(part["rmse"]) for part in parts),
            tuple(float(part["max_abs_error"]) for part in parts),
            training["parameters"],
            training["steps"],
            training["points"],
            training["psnr_db"],
            training.get("target_reached", True),
            **more,
        )


def _read(task: BrickTask, halos: Halos | None) -> tuple[Volume, int]:
    """The brick's volume, which may have no valid value at all, and the bytes decoded for it."""
    with open_volume(task.input, task.raw) as reader:
        layout = reader.layout(task.variables, task.time)
        before = reader.bytes_read
        if layout.chunks is None:
            with contextlib.suppress(NothingButMissing):
                volume = reader.read(task.variables, task.time, task.extent)
                return replace(volume, name=task.name or volume.name), reader.bytes_read - before
        values = read_brick(reader, task.variables, task.time, task.partition, task.brick, layout.components, halos)
        bytes_read = reader.bytes_read - before
    ranges, valid = settle(values)
    needed = values.size * layout.itemsize
    source = VolumeSource(Path(task.input).name, task.variables, task.time, needed)
    name = task.name or array_name(task.variables)
    names = () if layout.names == task.variables else layout.names
    units = layout.units or ("",) * layout.components
    domain = layout.domain.part(task.extent)
    volume = Volume(values, domain, name, units, ranges, valid, source, component_names=names)
    return volume, bytes_read


def _write_constant(volume: Volume, output: Path) -> bool:
    """Write a model in which all values are the same, or missing, if they are."""
    if any(low < high for low, high in volume.ranges):
        return False
    values = tuple(low for low, _ in volume.ranges) if volume.valid else None
    info = (
        volume.array_info() if volume.valid else replace(volume, ranges=((0.0, 0.0),) * volume.components).array_info()
    )
    field: ConstantField | MaskedField = ConstantField(values, volume.domain, info)
    if volume.valid and volume.missing:
        field = MaskedField(field, Mask.of(np.isfinite(volume.values[..., 0])))
    save_field(output, field)
    return True


def _fit(brick: Brick, interrupts: Interrupts, watch: Watch | None) -> Learned:
    task, settings = brick.task, _towards_target(brick.task, brick.volume)
    options = FitOptions(
        select_device(task.device),
        task.checkpoint_interval,
        overwrite=True,
        quiet=True,
        say=lambda message: None,
        watch=watch,
        region=brick.region,
    )
    identity = {**settings.to_dict(), "brick": task.brick, "extent": task.extent, "fingerprint": brick.fingerprint}
    try:
        fit = Fit(brick.volume, brick.output, settings, options, identity)
    except TargetSizeTooSmall as error:
        raise error.of_a_brick() from error
    began, began_cpu = time.monotonic(), time.process_time()
    try:
        training = fit.run(interrupts)
    except FitDiverged as error:
        # There would be no end to it when the run is repeated.
        with contextlib.suppress(OSError):
            checkpoint_path(brick.output).unlink()
        raise FitDiverged(error.step, task.brick) from error
    return Learned.of(
        training,
        seconds_before=max(0.0, training["seconds"] - (time.monotonic() - began)),
        cpu_seconds_before=max(0.0, training["cpu_seconds"] - (time.process_time() - began_cpu)),
    )


def _towards_target(task: BrickTask, volume: Volume) -> FitSettings:
    """The settings with a target in dB of the brick's own range that amounts to the one of the whole volume's."""
    target = task.settings.target_psnr
    if target is None or task.spans is None:
        return task.settings
    shares = [(high - low) / span for (low, high), span in zip(volume.ranges, task.spans, strict=True) if span > 0]
    return replace(task.settings, target_psnr=max(_LEAST_DB, target + 20.0 * math.log10(max(shares))))


def _within(region: Region, extent: Region) -> Region:
    """A part of the volume, counted from the first node of an extent."""
    x, y, z = ((first - start, last - start) for (first, last), (start, _) in zip(region, extent, strict=True))
    return (x, y, z)
