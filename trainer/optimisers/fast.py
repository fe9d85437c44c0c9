# SPDX-License-Identifier: BSD-3-Clause
"""The fast recipe: reconstruction error for everything, rates that fall late, in the kernels' own training step."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from amgsrn_core import kernels
from amgsrn_core.kernels.fitting import moments_of, update
from amgsrn_core.models import AMGSRN

from ..losses import density_loss, squared_errors
from ..recipes import DensityRecipe, FastRecipe
from ..schedules import cosine, late_fall
from .base import Optimiser


class FastOptimiser(Optimiser):
    """Reconstruction error for everything, rates that fall late."""

    def __init__(self, network: AMGSRN, steps: int, recipe: FastRecipe) -> None:
        super().__init__(network, steps)
        self._recipe = recipe
        self._fit = kernels.fit_state(network.learned(), kernels.AdamSettings(recipe.betas, recipe.eps))

    def step(self, step: int, fraction: float, points: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        recipe = self._recipe
        fall = late_fall(fraction, recipe.fall_start)
        rates = kernels.Rates(recipe.learning_rate * fall, recipe.mlp_rate * fall, recipe.placement_rate * fall)
        return self._fit.step(points, targets, rates)

    def _moments_of(self, parameter: nn.Parameter) -> dict[str, torch.Tensor]:
        return self._fit.moments(parameter)


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
                errors = squared_errors(self.network(points), targets)
            density_loss(self.network.density(points), errors).backward()
            # Rises and falls without a jump.
            part = (fraction - recipe.density_start) / (recipe.density_end - recipe.density_start)
            update(self._density, recipe.density_rate * cosine(part))
        return loss

    def moments(self) -> Iterator[tuple[str, str, torch.Tensor]]:
        yield from super().moments()
        for name, parameter in self.network.placement.named_parameters():
            for moment, tensor in moments_of([self._density], parameter).items():
                yield f"placement.{name}", f"density.{moment}", tensor
