# SPDX-License-Identifier: BSD-3-Clause
"""What a time step begins with, and how long it is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from amgsrn_core import open_field, read_header
from amgsrn_core.field import Ranges
from amgsrn_core.models import AMGSRN, AMGSRNConfig, AMGSRNField, MaskedField

from ..probe import Probe
from ..recipes import FastRecipe
from ..settings import FitSettings
from ..volumes import Volume
from .ranges import fits

# Steps of a fit that begins with the step before, in proportion to those of one that begins with nothing: as many as make
# them equally good where little changes (docs/trainer.md has the measurements).
WARM_SHARE = 0.4
# What the network of the step before may leave unexplained of a step's variance. With more its grids, which are where detail
# was, are in the way: on a mixing flow a warm start gained 1.6 dB over as many steps from nothing with 1/37, 1.0 with 1/19,
# and lost 0.5 with 1/12 and 1.6 with 1/9.
_MOST_UNEXPLAINED = 1 / 16
# Where a network explains less even of its own step, it may err so much more, squared, on the next.
_MOST_WORSE = 2.0


@dataclass(frozen=True)
class Beginning:
    """How the fit of a time step begins.

    Attributes:
        start: the network of the step before, or only its size; None: as the settings ask for.
        scaling: the ranges in units of which the network gives its values; the step's own if None.
    """

    start: AMGSRN | AMGSRNConfig | None = None
    scaling: Ranges | None = None

    @property
    def is_warm(self) -> bool:
        """Whether something has been learned already."""
        return isinstance(self.start, AMGSRN)


def beginning(previous: Path | None, volume: Volume, settings: FitSettings) -> Beginning:
    """How to begin with a volume.

    Args:
        previous: the model of the last step that has a network; None if there is none.
        volume: the step's.
        settings: only the fast recipe goes on from an earlier network, others are schedules from the very start.

    Raises:
        ModelFileError: the model cannot be read.
    """
    if previous is None:
        return Beginning()
    field = open_field(previous, "cpu")
    field = field.field if isinstance(field, MaskedField) else field
    assert isinstance(field, AMGSRNField)
    scaled = replace(volume, scaling=field.scaling)
    goes_on = isinstance(settings.recipe, FastRecipe) and fits(volume.ranges, field.scaling)
    psnr = read_header(previous).training.get("psnr_db")
    if not goes_on or not _knows(field.network, scaled, settings.seed, 0.0 if psnr is None else 10.0 ** (-0.1 * psnr)):
        return Beginning(field.network.config)
    return Beginning(field.network, field.scaling)


def _knows(network: AMGSRN, volume: Volume, seed: int, own_error: float) -> bool:
    """Whether a network explains most of a volume that it has not seen, or nearly as much as of its own, on which its
    mean squared error in units of the value ranges was `own_error`."""
    probe = Probe(volume, torch.device("cpu"), seed)
    return probe.mean_squared_error(network) <= max(_MOST_UNEXPLAINED * probe.variance, _MOST_WORSE * own_error)


def step_settings(settings: FitSettings, warm: bool, steps: int) -> FitSettings:
    """Settings for one of so many time steps: limits of time and size are for all together, and each step has an equal
    share."""
    recipe, budget, size = settings.recipe, settings.time_budget, settings.target_size
    if warm and recipe.steps is not None:
        recipe = replace(recipe, steps=max(1, math.ceil(WARM_SHARE * recipe.steps)))
    return replace(
        settings,
        recipe=recipe,
        time_budget=None if budget is None else budget / steps,
        target_size=None if size is None else size // steps,
    )
