# SPDX-License-Identifier: BSD-3-Clause
"""Learning one time step: with one network, or brick by brick."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from amgsrn_core import Domain, read_header, save_field
from amgsrn_core.models import ConstantField, Mask, MaskedField

from ..ensemble.choice import choose_bricks
from ..ensemble.fit import EnsembleOptions, Source, fit_ensemble
from ..ensemble.plan import Wishes, make_plan
from ..errors import GridMoves, InvalidOption, TargetSizeTooSmall
from ..fit import fit_volume
from ..fitting import FitOptions
from ..parts import identity_before
from ..progress import Display
from ..settings import FitSettings
from ..volumes import Volume, VolumeReader
from .source import Series
from .warm import beginning, step_settings


class StepFit(ABC):
    """Learns the steps of a series, one after the other."""

    @abstractmethod
    def fit(self, position: int, path: Path, before: Sequence[Path]) -> None:
        """Learn a step and write its model.

        Args:
            position: of the step in the series.
            path: its model file to be.
            before: model files of earlier steps, in their order.

        Raises:
            NothingButMissing: the step has no values.
            GridMoves: it is on other nodes than the steps before.
            FitInterrupted, FitDiverged, ModelFileError, VolumeError: see `fit_volume`.
        """


class NetworkFit(StepFit):
    """One network for each step, which begins as that of the step before.

    Args:
        series: the steps.
        reader: of their file.
        settings: for all of them, see `warm.step_settings`.
        options: see `FitOptions`.
    """

    def __init__(self, series: Series, reader: VolumeReader, settings: FitSettings, options: FitOptions) -> None:
        if settings.target_psnr is not None:
            raise InvalidOption(
                "--target-psnr makes networks grow, those of a series are all of one size; give --steps"
            )
        self._series, self._reader, self._settings = series, reader, settings
        # Nothing but parts of this very fit is in the folder.
        self._options = replace(options, overwrite=True)

    def fit(self, position: int, path: Path, before: Sequence[Path]) -> None:
        what = _what(self._series, position)
        volume = self._read(position, what)
        _check_nodes(self._series, position, volume.domain, before)
        if all(low == high for low, high in volume.ranges):
            _save_constant(path, volume)
            return
        begin = beginning(_last_network(before), volume, self._settings)
        count = len(self._series.steps)
        settings = step_settings(self._settings, begin.is_warm, count)
        self._options.say(f"{what}, from {'the step before' if begin.is_warm else 'the start'}")
        try:
            fit_volume(replace(volume, scaling=begin.scaling), path, settings, self._options, begin.start)
        except TargetSizeTooSmall as error:
            raise error.of_parts(count) from error

    def _read(self, position: int, what: str) -> Volume:
        series = self._series
        with Display(f"reading {what}", 1000, quiet=self._options.quiet) as display:
            volume = self._reader.read(
                series.variables, series.steps[position], progress=lambda part: display.update(int(1000 * part))
            )
        return volume if series.name is None else replace(volume, name=series.name)


class BrickFit(StepFit):
    """Each step brick by brick, all from the start.

    Args:
        series: the steps.
        settings: for all of them; limits of time and size are for all together.
        options: with bricks, see `plan_bricks`.
    """

    def __init__(self, series: Series, settings: FitSettings, options: EnsembleOptions) -> None:
        self._series, self._options = series, replace(options, overwrite=True)
        self._settings = step_settings(settings, False, len(series.steps))

    def fit(self, position: int, path: Path, before: Sequence[Path]) -> None:
        self._options.say(_what(self._series, position))
        source = _source(self._series, position)
        _check_nodes(self._series, position, source.layout.domain, before)
        fit_ensemble(source, path, self._settings, self._options)


def plan_bricks(
    series: Series, output: Path, settings: FitSettings, devices: Sequence[str], wishes: Wishes
) -> EnsembleOptions | None:
    """How to learn all steps brick by brick, or None where one network each does; see `ensemble.plan.make_plan`.

    Args:
        series: the steps.
        output: the series' model.
        settings: for all of them.
        devices: to train on.
        wishes: of the user.

    Raises:
        InvalidOption: numbers that make no sense.
        SchedulerUnavailable: there is none.
    """
    if wishes.only is not None:
        raise InvalidOption("--only-bricks is for a single time step; give its number with --time")
    source = _source(series, 0)
    plan = make_plan(source, output, step_settings(settings, False, len(series.steps)), devices, wishes)
    if plan is None or plan.bricks is not None:
        return plan
    # Chosen once for all steps, though the free memory may change.
    begun = identity_before(output).get("bricks")
    if isinstance(begun, list) and len(begun) == 3:
        return replace(plan, bricks=(begun[0], begun[1], begun[2]))
    return replace(plan, bricks=choose_bricks(source.grid, plan.resources, plan.overlap))


def _source(series: Series, position: int) -> Source:
    return Source.of(series.path, series.variables, series.steps[position], series.name, series.raw)


def _check_nodes(series: Series, position: int, domain: Domain, before: Sequence[Path]) -> None:
    if before and read_header(before[0]).domain.axes != domain.axes:
        first = int(before[0].stem.rpartition("-")[2])
        raise GridMoves(series.path, first, series.steps[position])


def _what(series: Series, position: int) -> str:
    return f"time step {series.steps[position]} ({position + 1} of {len(series.steps)})"


def _last_network(before: Sequence[Path]) -> Path | None:
    """The model of the last step that has a network."""
    return next((path for path in reversed(before) if read_header(path).architecture["type"] == "amgsrn"), None)


def _save_constant(path: Path, volume: Volume) -> None:
    """A step that has one value everywhere needs no network."""
    field: ConstantField | MaskedField = ConstantField(
        tuple(low for low, _ in volume.ranges), volume.domain, volume.array_info()
    )
    if volume.missing:
        field = MaskedField(field, Mask.of(np.isfinite(volume.values[..., 0])))
    source = {**volume.source.to_dict(), "shape": list(volume.shape), "missing": volume.missing}
    save_field(path, field, {"psnr_db": None, "rmse": 0.0, "max_abs_error": 0.0, "source": source})
