# SPDX-License-Identifier: BSD-3-Clause
"""Fitting a time series: step by step, each resumable, then all in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from amgsrn_core import ArrayInfo, read_header, save_field
from amgsrn_core.errors import ModelFileError
from amgsrn_core.models import ConstantField, Mask, MaskedField
from amgsrn_core.storage import ModelHeader, Part, part_of, series_description, share_masks, step_prefix, write_tree

from ..errors import InvalidOption, NothingButMissing, TargetSizeTooSmall
from ..fit import FitResult, finished_before, fit_volume
from ..fitting import FitOptions
from ..outputs import check_writable
from ..parts import PartsFolder
from ..progress import Display
from ..settings import FitSettings
from ..volumes import Volume, VolumeReader
from .ranges import union
from .selection import select
from .summary import describe_step, total
from .warm import beginning, step_settings


def fit_series(
    reader: VolumeReader,
    variables: str | None,
    chosen: slice,
    output: Path,
    settings: FitSettings,
    options: FitOptions,
    name: str | None = None,
) -> FitResult:
    """Fit a network to each of several time steps and write them as one .amgsrn file; finished steps, in the folder
    `OUT.amgsrn.parts`, are kept from run to run.

    Args:
        reader: of the volume.
        variables: see `VolumeReader.read`.
        chosen: which steps.
        output: the file.
        settings: of each step's fit; a later one is shorter, see `warm.step_settings`.
        options: see `FitOptions`.
        name: of the array; the reader's if None.

    Raises:
        InvalidOption: no such steps, or settings that do not go with several.
        VolumeError: see `VolumeReader.read`.
        OutputExists, CheckpointMismatch, OutputBusy, OutputNotWritable: something else is in the way of the output.
        FitInterrupted, FitDiverged, ModelFileError: see `fit_volume`.
    """
    if settings.target_psnr is not None:
        raise InvalidOption(
            "--target-psnr needs a network that grows; the steps of a series all have the same: give --steps"
        )
    layout = reader.layout(variables)
    if layout.steps is None:
        raise InvalidOption(f"'{','.join(layout.variables)}' has no time steps; leave out --time")
    steps = select(chosen, layout.steps)
    check_writable(output)
    identity = {
        **settings.to_dict(),
        "variable": ",".join(layout.variables),
        "array": name,
        "time_steps": list(steps),
        "shape": list(layout.domain.shape),
        "fingerprint": [reader.fingerprint(variables, step) for step in dict.fromkeys((steps[0], steps[-1]))],
    }
    done = finished_before(output, identity, options.overwrite)
    if done is not None:
        return FitResult(done, fresh=False)
    with PartsFolder(output, identity, options.overwrite) as parts:
        fit = _SeriesFit(reader, variables, steps, parts, settings, options, name)
        for position in range(len(steps)):
            fit.make(position)
        training = fit.assemble(output, identity, _times(steps, layout.times), layout.time_units)
        parts.remove()
    return FitResult(training, fresh=True)


@dataclass(frozen=True)
class _Step:
    """A finished step: its file and header."""

    path: Path
    header: ModelHeader


class _SeriesFit:
    """One run's way through the steps."""

    def __init__(
        self,
        reader: VolumeReader,
        variables: str | None,
        steps: Sequence[int],
        parts: PartsFolder,
        settings: FitSettings,
        options: FitOptions,
        name: str | None,
    ) -> None:
        self._reader, self._variables, self._steps, self._name = reader, variables, steps, name
        self._parts, self._settings, self._options = parts, settings, options
        self._done: list[_Step | None] = []
        self._nothing: NothingButMissing | None = None

    def make(self, position: int) -> None:
        """Make the next step, unless it has been made before."""
        step = self._steps[position]
        path = self._parts.part(f"step-{step:04d}.amgsrn")
        header = _finished(path)
        if header is None:
            path.unlink(missing_ok=True)
            made = self._fit(step, path, f"time step {step} ({position + 1} of {len(self._steps)})")
            header = read_header(path) if made else None
        self._done.append(None if header is None else _Step(path, header))

    def assemble(
        self, output: Path, identity: dict[str, Any], times: Sequence[float], time_units: str
    ) -> dict[str, Any]:
        """All steps in one file; gives what it says about its training."""
        found = [step for step in self._done if step is not None]
        if not found:
            assert self._nothing is not None
            raise self._nothing
        array = _array([step.header.array for step in found])
        described = [self._described(position, times[position]) for position in range(len(self._steps))]
        parts = share_masks(_part(step, about) for step, about in zip(self._done, described, strict=True))
        training = self._training(found, described, array, identity)
        domain = replace(found[0].header.domain, time=times[0], time_units=time_units, times=tuple(times))
        header = ModelHeader(series_description(domain.times, [part.node for part in parts]), domain, array, training)
        write_tree(output, header, [(step_prefix(i), part.tensors) for i, part in enumerate(parts)])
        return training

    def _fit(self, step: int, path: Path, what: str) -> bool:
        """Fit one step; False where it has no values at all."""
        with Display(f"reading {what}", 1000, quiet=self._options.quiet) as display:
            try:
                volume = self._reader.read(
                    self._variables, step, progress=lambda fraction: display.update(int(1000 * fraction))
                )
            except NothingButMissing as error:
                self._nothing = error
                return False
        volume = volume if self._name is None else replace(volume, name=self._name)
        if all(low == high for low, high in volume.ranges):
            _save_constant(path, volume)
            return True
        begin = beginning(self._last_network(), volume, self._settings)
        settings = step_settings(self._settings, begin.is_warm, len(self._steps))
        self._options.say(f"{what}, from {'the step before' if begin.is_warm else 'the start'}")
        options = replace(self._options, overwrite=True)  # nothing but parts of this very fit is in the folder
        try:
            fit_volume(replace(volume, scaling=begin.scaling), path, settings, options, begin.start)
        except TargetSizeTooSmall as error:
            raise error.of_parts(len(self._steps)) from error
        return True

    def _last_network(self) -> Path | None:
        """The last step that has a network."""
        return next(
            (s.path for s in reversed(self._done) if s is not None and s.header.architecture["type"] == "amgsrn"), None
        )

    def _described(self, position: int, time: float) -> dict[str, Any]:
        step, index = self._done[position], self._steps[position]
        if step is None:
            return describe_step({}, None, index, time, 0)
        training = step.header.training
        valid = int(np.prod(training["source"]["shape"])) - training["source"]["missing"]
        return describe_step(training, step.header.array.ranges, index, time, valid)

    def _training(
        self, found: list[_Step], described: list[dict[str, Any]], array: ArrayInfo, identity: dict[str, Any]
    ) -> dict[str, Any]:
        trainings = [step.header.training for step in found]
        first = trainings[0]["source"]
        precisions = {training["precision"] for training in trainings if "precision" in training}
        return {
            "recipe": self._settings.recipe.name,
            "settings": self._settings.to_dict(),
            "seed": self._settings.seed,
            "time_steps": len(self._steps),
            **total(described, array.ranges),
            "parameters": sum(step.header.tree.parameters for step in found),
            "precision": precisions.pop() if len(precisions) == 1 else "mixed" if precisions else None,
            "source": {
                **first,
                "time_index": list(self._steps),
                "bytes": first["bytes"] * len(self._steps),
                "missing": sum(training["source"]["missing"] for training in trainings),
                "fingerprint": identity["fingerprint"],
            },
            "identity": identity,
        }


def _finished(path: Path) -> ModelHeader | None:
    """The header of a step that was finished before; None where there is none that can be read."""
    try:
        return read_header(path) if path.exists() else None
    except ModelFileError:
        return None


def _times(steps: Sequence[int], times: Sequence[float] | None) -> list[float]:
    """The times of the steps, or their numbers where the file does not order them by time."""
    chosen = [float(step if times is None else times[step]) for step in steps]
    return chosen if all(a < b for a, b in pairwise(chosen)) else [float(step) for step in steps]


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


def _save_constant(path: Path, volume: Volume) -> None:
    """A step that has one value everywhere needs no network."""
    field: ConstantField | MaskedField = ConstantField(
        tuple(low for low, _ in volume.ranges), volume.domain, volume.array_info()
    )
    if volume.missing:
        field = MaskedField(field, Mask.of(np.isfinite(volume.values[..., 0])))
    source = {**volume.source.to_dict(), "shape": list(volume.shape), "missing": volume.missing}
    save_field(path, field, {"psnr_db": None, "rmse": 0.0, "max_abs_error": 0.0, "source": source})
