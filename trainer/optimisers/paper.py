# SPDX-License-Identifier: BSD-3-Clause
"""The schedules of the authors: the paper's (APMGSRN), and its successor's (AMGSRN++)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from amgsrn_core.kernels.fitting import moments_of, update
from amgsrn_core.models import AMGSRN

from ..losses import density_loss, plus_density, squared_errors, total_variation
from ..recipes import PaperPlusRecipe, PaperRecipe
from ..schedules import GridWindow, Plateau, cosine
from .base import Optimiser


class PaperOptimiser(Optimiser):
    """The authors' schedule, see `PaperRecipe`."""

    def __init__(self, network: AMGSRN, steps: int, recipe: PaperRecipe) -> None:
        super().__init__(network, steps)
        self._recipe = recipe
        self._features = adam([network.grids], recipe)
        self._mlp = adam(list(network.layers.parameters()), recipe)
        self._placement = adam(list(network.placement.parameters()), recipe)
        self.window = GridWindow(recipe, steps)
        self.plateau = Plateau(recipe)
        self._placement_steps = 0

    @property
    def finished(self) -> bool:
        return self.plateau.finished

    def step(self, step: int, fraction: float, points: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        predicted = self.network(points, self.network.transforms().detach())
        errors = squared_errors(predicted, targets)
        loss = errors.mean()
        loss.backward()
        if self.window.is_open(step):
            density = density_loss(self.network.density(points), errors)
            density.backward()
            self.window.record(step, float(density.detach()))
            warm = self._placement_steps < self._recipe.placement_warm_steps
            update(self._placement, self._recipe.placement_rate * (1.0 if warm else 0.5))
            self._placement_steps += 1
        for each in (self._features, self._mlp):
            update(each, self._recipe.learning_rate * self.plateau.factor)
        self.plateau.record(float(loss.detach()))
        if self.window.stopped:
            self.plateau.step()
        return loss.detach()

    def _moments_of(self, parameter: nn.Parameter) -> dict[str, torch.Tensor]:
        return moments_of((self._features, self._mlp, self._placement), parameter)

    def counters(self) -> dict[str, Any]:
        return {
            "placement_steps": self._placement_steps,
            "window": self.window.state(),
            "plateau": self.plateau.state(),
        }

    def series(self) -> dict[str, np.ndarray]:
        return {"density_losses": self.window.losses.state(), "losses": self.plateau.losses.state()}

    def restore(self, counters: dict[str, Any], series: dict[str, np.ndarray]) -> None:
        self._placement_steps = int(counters["placement_steps"])
        self.window.restore(counters["window"], series["density_losses"])
        self.plateau.restore(counters["plateau"], series["losses"])


class PaperPlusOptimiser(Optimiser):
    """The schedule of AMGSRN++, see `PaperPlusRecipe`."""

    def __init__(self, network: AMGSRN, steps: int, recipe: PaperPlusRecipe) -> None:
        super().__init__(network, steps)
        self._recipe = recipe
        self._features = adam([network.grids], recipe)
        self._mlp = adam(list(network.layers.parameters()), recipe)
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
        errors = squared_errors(self.network(points, self.network.transforms().detach()), targets)
        error = errors.mean()
        loss = error + recipe.variation_weight * total_variation(grids) + recipe.size_weight * grids.abs().mean()
        loss.backward()
        rate = self.placement_rate(step, fraction)
        if rate > 0:
            density_loss(plus_density(points, self.network.transforms()), errors).backward()
            update(self._placement, rate)
        for each in (self._features, self._mlp):
            update(each, recipe.learning_rate * cosine(fraction))
        return error.detach()

    def _moments_of(self, parameter: nn.Parameter) -> dict[str, torch.Tensor]:
        return moments_of((self._features, self._mlp, self._placement), parameter)

    def counters(self) -> dict[str, Any]:
        return {"moving_since": self._moving_since}

    def restore(self, counters: dict[str, Any], series: dict[str, Any]) -> None:
        self._moving_since = None if counters["moving_since"] is None else float(counters["moving_since"])


def adam(parameters: list[nn.Parameter], recipe: PaperRecipe | PaperPlusRecipe) -> torch.optim.Adam:
    """Adam with a recipe's numbers."""
    return torch.optim.Adam(parameters, lr=recipe.learning_rate, betas=recipe.betas, eps=recipe.eps, fused=True)
