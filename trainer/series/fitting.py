# SPDX-License-Identifier: BSD-3-Clause
"""Fitting a time series: step by step, each resumable, then all in one file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from amgsrn_core import ArrayInfo, read_header
from amgsrn_core.errors import ModelFileError
from amgsrn_core.storage import ModelHeader, Part, part_of, series_description, share_masks, step_prefix, write_tree

from ..ensemble.fit import EnsembleOptions
from ..errors import NothingButMissing
from ..fit import FitResult, finished_before
from ..fitting import FitOptions
from ..outputs import check_writable
from ..parts import PartsFolder
from ..settings import FitSettings
from ..volumes import array_name, open_volume
from .ranges import union
from .source import Series
from .steps import BrickFit, NetworkFit, StepFit
from .summary import describe_step, total


def fit_series(
    series: Series, output: Path, settings: FitSettings, options: FitOptions, bricks: EnsembleOptions | None = None
) -> FitResult:
    """Learn several time steps and write them as one .amgsrn file; finished steps, in the folder `OUT.amgsrn.parts`, are
    kept from run to run.

    Args:
        series: the steps.
        output: the file.
        settings: for all steps, see `NetworkFit` and `BrickFit`.
        options: see `FitOptions`.
        bricks: how to learn each step brick by brick; one network each if None.

    Raises:
        InvalidOption: settings that do not go with several steps.
        OutputExists, CheckpointMismatch, OutputBusy, OutputNotWritable: something else is in the way of the output.
        FitInterrupted, FitDiverged, ModelFileError, VolumeError: see `fit_volume`, and `fit_ensemble`.
    """
    check_writable(output)
    identity = {
        **settings.to_dict(),
        "variable": ",".join(series.layout.variables),
        "array": series.name or array_name(series.layout.variables),
        "time_steps": list(series.steps),
        "shape": list(series.layout.domain.shape),
        "fingerprint": list(series.fingerprints),
        **({} if bricks is None else {"bricks": list(bricks.bricks or ()), "ghost": bricks.overlap}),
    }
    done = finished_before(output, identity, options.overwrite)
    if done is not None:
        return FitResult(done, fresh=False)
    with PartsFolder(output, identity, options.overwrite) as parts, open_volume(series.path, series.raw) as reader:
        # Another run may have finished it before this one got the lock.
        done = finished_before(output, identity, options.overwrite)
        if done is not None:
            parts.remove()
            return FitResult(done, fresh=False)
        way = (
            BrickFit(series, settings, bricks) if bricks is not None else NetworkFit(series, reader, settings, options)
        )
        steps = _made(series, parts, way)
        training = _assemble(series, steps, output, settings, identity)
        parts.remove()
    return FitResult(training, fresh=True)


@dataclass(frozen=True)
class _Step:
    """A finished step."""

    path: Path
    header: ModelHeader


def _made(series: Series, parts: PartsFolder, way: StepFit) -> list[_Step | None]:
    """All steps; those that have no values at all are None.

    Raises:
        NothingButMissing: none has a value.
    """
    steps: list[_Step | None] = []
    nothing: NothingButMissing | None = None
    for position, number in enumerate(series.steps):
        path = parts.part(_part_name(number))
        header = _finished(path)
        try:
            if header is None:
                path.unlink(missing_ok=True)
                way.fit(position, path, [step.path for step in steps if step is not None])
                header = read_header(path)
            steps.append(_Step(path, header))
        except NothingButMissing as error:
            nothing = error
            steps.append(None)
    if nothing is not None and not any(steps):
        raise nothing
    return steps


def _assemble(
    series: Series, steps: Sequence[_Step | None], output: Path, settings: FitSettings, identity: dict[str, Any]
) -> dict[str, Any]:
    """All steps in one file; gives what it says about its training."""
    found = [step for step in steps if step is not None]
    times = series.times
    described = [_described(*about) for about in zip(steps, series.steps, times, strict=True)]
    array = _array([step.header.array for step in found])
    training = _training(series, found, described, array, settings, identity)
    parts = share_masks(_part(step, about) for step, about in zip(steps, described, strict=True))
    domain = replace(found[0].header.domain, time=times[0], time_units=series.layout.time_units, times=times)
    header = ModelHeader(series_description(times, [part.node for part in parts]), domain, array, training)
    write_tree(output, header, [(step_prefix(i), part.tensors) for i, part in enumerate(parts)])
    return training


def _described(step: _Step | None, number: int, time: float) -> dict[str, Any]:
    if step is None:
        return describe_step({}, None, number, time, 0)
    training = step.header.training
    valid = math.prod(training["source"]["shape"]) - training["source"]["missing"]
    return describe_step(training, step.header.array.ranges, number, time, valid)


def _training(
    series: Series,
    found: Sequence[_Step],
    described: Sequence[dict[str, Any]],
    array: ArrayInfo,
    settings: FitSettings,
    identity: dict[str, Any],
) -> dict[str, Any]:
    trainings = [step.header.training for step in found]
    first, count = trainings[0]["source"], len(series.steps)
    precisions = {training["precision"] for training in trainings if "precision" in training}
    return {
        "recipe": settings.recipe.name,
        "settings": settings.to_dict(),
        "seed": settings.seed,
        "time_steps": count,
        **total(described, array.ranges),
        "parameters": sum(step.header.tree.parameters for step in found),
        "precision": precisions.pop() if len(precisions) == 1 else None,
        "source": {
            **first,
            "time_index": list(series.steps),
            "bytes": first["bytes"] * count,
            "missing": sum(step["missing"] for step in described),
            "fingerprint": list(series.fingerprints),
        },
        "identity": identity,
    }


def _finished(path: Path) -> ModelHeader | None:
    """The header of a step that was finished before; None where there is none that can be read."""
    try:
        return read_header(path) if path.exists() else None
    except ModelFileError:
        return None


def _part_name(step: int) -> str:
    return f"step-{step:04d}.amgsrn"


def _array(arrays: list[ArrayInfo]) -> ArrayInfo:
    """The array of all steps."""
    ranges = union([array.ranges for array in arrays])
    lows, highs = zip(*ranges, strict=True)
    return replace(
        arrays[0], value_range=(min(lows), max(highs)), component_ranges=ranges if arrays[0].components > 1 else ()
    )


def _part(step: _Step | None, training: dict[str, Any]) -> Part:
    part = Part({"type": "constant", "values": None}, {}) if step is None else part_of(step.path)
    return Part({**part.node, "training": training}, part.tensors)
