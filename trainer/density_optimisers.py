# SPDX-License-Identifier: BSD-3-Clause
"""Optimisers that move grids by a density loss, besides the paper's own: AMGSRN++'s schedule, and the fast recipe with
moving grids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from amgsrn_core.models import AMGSRN

from .losses import density_loss, plus_density, squared_errors, total_variation
from .optimisers import FastOptimiser, Optimiser, PaperOptimiser, _update, adam_moments
from .recipes import DensityRecipe, PaperPlusRecipe, PaperRecipe, Recipe
from .schedules import cosine


class PaperPlusOptimiser(Optimiser):
    """The schedule of AMGSRN++, see `PaperPlusRecipe`."""

    def __init__(self, network: AMGSRN, steps: int, recipe: PaperPlusRecipe) -> None:
        super().__init__(network, steps, recipe)
        self._recipe = recipe
        self._placement = torch.optim.Adam(
            network.placement.parameters(), recipe.placement_rate, recipe.placement_betas, recipe.eps, fused=True
        )
        # The part of the run that was done when the grids began to move.
        self._moving_since: float | None = None

    def placement_rate(self, step: int, fraction: float) -> float:
        """Learning rate of the transforms, 0 while they rest.

        Theirs falls from the first step of the transforms on: the authors' scheduler only counts those.
        """
        if step <= self._recipe.density_start:
            return 0.0
        if self._moving_since is None:
            self._moving_since = fraction
        fallen = (fraction - self._moving_since) / self._recipe.placement_share
        rate = self._recipe.placement_rate * cosine(min(fallen, 1.0))
        return rate if rate > self._recipe.placement_least_rate else 0.0

    def step(self, step: int, fraction: float, points: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        recipe, grids = self._recipe, self.network.grids
        errors = squared_errors(self.network(points, self.network.transforms().detach())[:, 0], targets)
        error = errors.mean()
        loss = error + recipe.variation_weight * total_variation(grids) + recipe.size_weight * grids.abs().mean()
        loss.backward()
        rate = self.placement_rate(step, fraction)
        if rate > 0:
            density_loss(plus_density(points, self.network.transforms()), errors).backward()
            _update(self._placement, rate)
        for adam in (self._features, self._mlp):
            _update(adam, recipe.learning_rate * cosine(fraction))
        return error.detach()

    def counters(self) -> dict[str, Any]:
        return {"moving_since": self._moving_since}

    def restore(self, counters: dict[str, Any], series: dict[str, Any]) -> None:
        self._moving_since = None if counters["moving_since"] is None else float(counters["moving_since"])


class FastDensityOptimiser(FastOptimiser):
    """The fast recipe, whose grids a density loss moves for a while, see `DensityRecipe`."""

    def __init__(self, network: AMGSRN, steps: int, recipe: DensityRecipe) -> None:
        super().__init__(network, steps, recipe)
        self._density_recipe = recipe
        # Of its own: the moments of the two losses have nothing to do with each other.
        self._density = torch.optim.Adam(
            network.placement.parameters(), recipe.density_rate, recipe.betas, recipe.eps, fused=True
        )

    def step(self, step: int, fraction: float, points: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        recipe = self._density_recipe
        loss = super().step(step, fraction, points, targets)
        if recipe.density_start <= fraction < recipe.density_end:
            with torch.no_grad():
                errors = squared_errors(self.network(points)[:, 0], targets)
            density_loss(self.network.density(points), errors).backward()
            # Rises and falls without a jump.
            part = (fraction - recipe.density_start) / (recipe.density_end - recipe.density_start)
            _update(self._density, recipe.density_rate * cosine(part))
        return loss

    def moments(self) -> Iterator[tuple[str, str, torch.Tensor]]:
        yield from super().moments()
        for name, parameter in self.network.placement.named_parameters():
            for moment, tensor in adam_moments(self._density, parameter):
                yield f"placement.{name}", f"density.{moment}", tensor


def make_optimiser(network: AMGSRN, steps: int, recipe: Recipe) -> Optimiser:
    """The optimiser that does what a recipe says; `steps` as in `Optimiser`."""
    if isinstance(recipe, PaperRecipe):
        return PaperOptimiser(network, steps, recipe)
    if isinstance(recipe, PaperPlusRecipe):
        return PaperPlusOptimiser(network, steps, recipe)
    if isinstance(recipe, DensityRecipe):
        return FastDensityOptimiser(network, steps, recipe)
    return FastOptimiser(network, steps, recipe)
