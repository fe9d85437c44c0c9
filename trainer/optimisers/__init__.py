# SPDX-License-Identifier: BSD-3-Clause
"""One training step, by recipe: losses, gradients, learning rates."""

from __future__ import annotations

from amgsrn_core.models import AMGSRN

from ..recipes import DensityRecipe, PaperPlusRecipe, PaperRecipe, Recipe
from .base import Optimiser
from .fast import FastDensityOptimiser, FastOptimiser
from .paper import PaperOptimiser, PaperPlusOptimiser

__all__ = [
    "FastDensityOptimiser",
    "FastOptimiser",
    "Optimiser",
    "PaperOptimiser",
    "PaperPlusOptimiser",
    "make_optimiser",
]


def make_optimiser(network: AMGSRN, steps: int, recipe: Recipe) -> Optimiser:
    """The optimiser that does what a recipe says; `steps` as in `Optimiser`."""
    if isinstance(recipe, PaperRecipe):
        return PaperOptimiser(network, steps, recipe)
    if isinstance(recipe, PaperPlusRecipe):
        return PaperPlusOptimiser(network, steps, recipe)
    if isinstance(recipe, DensityRecipe):
        return FastDensityOptimiser(network, steps, recipe)
    return FastOptimiser(network, steps, recipe)
