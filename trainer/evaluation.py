# SPDX-License-Identifier: BSD-3-Clause
"""Comparing a model file with the volume it was made from."""

from __future__ import annotations

import math
import time as clock
from pathlib import Path
from typing import Any

from amgsrn_core import Field, read_header
from amgsrn_core.storage.model_file import ModelHeader

from .ensemble.memory import memory_to_use
from .errors import ComponentMismatch, ModelTimeNotChosen, NoSuchModelTime, ShapeMismatch
from .layers import layered_volume
from .metrics import measure
from .opening import open_step
from .progress import Display
from .reading import read_volume
from .report import describe_model
from .volumes import RawFormat, Volume, open_volume
from .volumes.names import asked_for

# Volumes that take more of the memory are read layer by layer, twice.
_LARGEST_SHARE = 0.5


def evaluate(
    model: Path,
    volume_file: Path,
    variable: str | None = None,
    time: int | None = None,
    device: str = "auto",
    raw: RawFormat | None = None,
) -> dict[str, Any]:
    """Errors of a model over all valid values of a volume, JSON-ready, and what measuring them cost. The volume need not
    fit into memory.

    Args:
        model: the .amgsrn file.
        volume_file: the volume.
        variable, time: as for `VolumeReader.read`; those that the model was made from if left out. Of a series, `time` is a
            step of the model, which is compared with the step of the volume that it was made from.
        raw: what the file holds if it has nothing but numbers.

    Raises:
        ModelFileError, VolumeError, DeviceUnavailable: see there.
        NoSuchModelTime, ModelTimeNotChosen: of a series.
        ShapeMismatch, ComponentMismatch: the volume is not like the one that the model was made from.
    """
    started, started_cpu = clock.monotonic(), clock.process_time()
    header = read_header(model)
    step = _step(model, header, time)
    chosen_variable, chosen_time = _defaults(header, volume_file, variable, time, step, raw)
    field = open_step(model, device, step)
    with open_volume(volume_file, raw) as reader:
        layout = reader.layout(chosen_variable, chosen_time)
        large = 4 * math.prod(layout.domain.shape) * layout.components > _LARGEST_SHARE * memory_to_use()
        if not large:
            volume = read_volume(volume_file, chosen_variable, chosen_time, raw=raw)
        else:
            with Display("reading", 1000) as display:
                volume = layered_volume(reader, layout, chosen_time, lambda part: display.update(int(1000 * part)))
        return {**_compared(model, header, field, volume_file, volume), **_cost(started, started_cpu)}


def _compared(model: Path, header: ModelHeader, field: Field, volume_file: Path, volume: Volume) -> dict[str, Any]:
    """Errors and what is known of both; see `evaluate`."""
    if volume.shape != field.domain.shape:
        raise ShapeMismatch(model, field.domain.shape, volume_file, volume.shape)
    if volume.components != field.array.components:
        raise ComponentMismatch(model, field.array.components, volume_file, volume.components)
    began = clock.monotonic()
    with Display("measuring", 1000) as display:
        metrics = measure(field, volume, lambda fraction: display.update(int(1000 * fraction)))
    speed = math.prod(volume.shape) / max(clock.monotonic() - began, 1e-9)
    return {
        **describe_model(model, header, {"source": header.training.get("source", volume.source.to_dict())}),
        **metrics.to_dict(),
        "parameters": header.tree.parameters,
        "points_per_second": round(speed, 1),
        "variable": volume.source.variable,
        "time_index": volume.source.time_index,
    }


def _cost(started: float, started_cpu: float) -> dict[str, float]:
    """What was spent since then."""
    return {
        "seconds": round(clock.monotonic() - started, 3),
        "cpu_seconds": round(clock.process_time() - started_cpu, 3),
    }


def _step(model: Path, header: ModelHeader, time: int | None) -> int | None:
    """The step of a series that is to be compared, counted from 0; None for other models."""
    steps = header.tree.steps
    if steps is None:
        return None
    if time is None and steps > 1:
        raise ModelTimeNotChosen(model, steps)
    if not -steps <= (time or 0) < steps:
        raise NoSuchModelTime(model, time or 0, steps)
    return (time or 0) % steps


def _defaults(
    header: ModelHeader,
    volume_file: Path,
    variable: str | None,
    time: int | None,
    step: int | None,
    raw: RawFormat | None,
) -> tuple[str | None, int | None]:
    """Variable and time to compare with: what is asked for, else what the model was made from, as far as it fits."""
    source = header.training.get("source", {})
    with open_volume(volume_file, raw) as reader:
        candidates = {info.name: info for info in reader.variables()}
    if variable is None:
        name = source.get("variable", header.array.name)
        # A model that does not say where it comes from may be compared with the only volume there is.
        known = all(part in candidates for part in asked_for(name, candidates))
        variable = name if known or "variable" in source else None
    if step is not None:
        steps = source.get("time_index")
        return variable, int(steps[step]) if isinstance(steps, list) else step
    names = asked_for(variable, candidates)
    if time is None and names and names[0] in candidates and (candidates[names[0]].steps or 1) > 1:
        time = source.get("time_index")
    return variable, time
