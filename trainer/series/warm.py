# SPDX-License-Identifier: BSD-3-Clause
"""What a time step begins with, and how long it is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from amgsrn_core import open_field
from amgsrn_core.field import Ranges
from amgsrn_core.models import AMGSRN, AMGSRNConfig, AMGSRNField, MaskedField

from ..recipes import FastRecipe
from ..settings import FitSettings
from ..volumes import Volume
from .ranges import fits

# Steps of a fit that begins with the step before, in proportion to those of one that begins with nothing.
WARM_SHARE = 0.2


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
    if not isinstance(settings.recipe, FastRecipe) or not fits(volume.ranges, field.scaling):
        return Beginning(field.network.config)
    return Beginning(field.network, field.scaling)


def step_settings(settings: FitSettings, warm: bool, steps: int) -> FitSettings:
    """Settings for one of so many time steps: limits of time and size are for all together."""
    recipe, budget, size = settings.recipe, settings.time_budget, settings.target_size
    if warm and recipe.steps is not None:
        recipe = replace(recipe, steps=max(1, math.ceil(WARM_SHARE * recipe.steps)))
    if budget is not None:
        share = WARM_SHARE if isinstance(recipe, FastRecipe) else 1.0
        budget *= (share if warm else 1.0) / (1.0 + share * (steps - 1))
    return replace(settings, recipe=recipe, time_budget=budget, target_size=None if size is None else size // steps)
