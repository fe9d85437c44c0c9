# SPDX-License-Identifier: BSD-3-Clause
"""One training step, by recipe: losses, gradients, learning rates. An optimiser can be saved after any step and
continued exactly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from amgsrn_core import kernels
from amgsrn_core.models import AMGSRN

from .losses import density_loss, squared_errors
from .recipes import FastRecipe, PaperRecipe, Recipe
from .schedules import GridWindow, Plateau, cosine


class Optimiser(ABC):
    """Trains a network step by step.

    Attributes:
        network: the network.
        steps: number of steps at most; 0 where only time limits them.
    """

    def __init__(self, network: AMGSRN, steps: int, recipe: Recipe) -> None:
        self.network = network
        self.steps = steps
        self._features = _adam([network.grids], recipe)
        self._mlp = _adam(list(network.layers.parameters()), recipe)
        self._placement = _adam(list(network.placement.parameters()), recipe)

    @abstractmethod
    def step(self, step: int, fraction: float, points: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Learn from a batch.

        Args:
            step: number of steps done before.
            fraction: the part of the run that is done, in [0, 1); learning rates fall with it.
            points: (n, 3).
            targets: (n,) in units of the value range.

        Returns:
            the mean squared error, a scalar tensor.
        """

    @property
    def finished(self) -> bool:
        """Whether the recipe ends the fit before all steps are done."""
        return False

    def counters(self) -> dict[str, Any]:
        """JSON-ready state besides the tensors."""
        return {}

    def series(self) -> dict[str, np.ndarray]:
        """State that is series of numbers: float64 arrays by name."""
        return {}

    def restore(self, counters: dict[str, Any], series: dict[str, np.ndarray]) -> None:
        """Continue from `counters` and `series`."""
        del counters, series  # there is nothing besides the tensors

    def moments(self) -> Iterator[tuple[str, str, torch.Tensor]]:
        """Adam's running moments: (parameter's name, moment's name, tensor), the tensors themselves.

        Parameters that have not been optimised yet get their (zero) moments here.
        """
        for name, parameter in self.network.named_parameters():
            for moment, tensor in adam_moments(self._adam_of(parameter), parameter):
                yield name, moment, tensor

    def _adam_of(self, parameter: nn.Parameter) -> torch.optim.Adam:
        adams = (self._features, self._mlp, self._placement)
        return next(a for a in adams if any(p is parameter for p in a.param_groups[0]["params"]))


class FastOptimiser(Optimiser):
    """Reconstruction error for everything, cosine decay."""

    def __init__(self, network: AMGSRN, steps: int, recipe: FastRecipe) -> None:
        super().__init__(network, steps, recipe)
        self._recipe = recipe

    def step(self, step: int, fraction: float, points: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        moving = self._recipe.placement_rate > 0
        transforms = self.network.transforms()
        loss = kernels.mean_squared_error(
            points,
            targets.unsqueeze(1),
            transforms if moving else transforms.detach(),
            self.network.grids,
            *self.network.mlp_parameters(),
        )
        loss.backward()
        fall = cosine(fraction)
        _update(self._features, self._recipe.learning_rate * fall)
        _update(self._mlp, self._recipe.mlp_rate * fall)
        if moving:
            _update(self._placement, self._recipe.placement_rate * fall)
        return loss.detach()


class PaperOptimiser(Optimiser):
    """The authors' schedule, see `PaperRecipe`."""

    def __init__(self, network: AMGSRN, steps: int, recipe: PaperRecipe) -> None:
        super().__init__(network, steps, recipe)
        self._recipe = recipe
        self.window = GridWindow(recipe, steps)
        self.plateau = Plateau(recipe)
        self._placement_steps = 0

    @property
    def finished(self) -> bool:
        return self.plateau.finished

    def step(self, step: int, fraction: float, points: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        predicted = self.network(points, self.network.transforms().detach())[:, 0]
        errors = squared_errors(predicted, targets)
        loss = errors.mean()
        loss.backward()
        if self.window.is_open(step):
            density = density_loss(self.network.density(points), errors)
            density.backward()
            self.window.record(step, float(density.detach()))
            warm = self._placement_steps < self._recipe.placement_warm_steps
            _update(self._placement, self._recipe.placement_rate * (1.0 if warm else 0.5))
            self._placement_steps += 1
        for adam in (self._features, self._mlp):
            _update(adam, self._recipe.learning_rate * self.plateau.factor)
        self.plateau.record(float(loss.detach()))
        if self.window.stopped:
            self.plateau.step()
        return loss.detach()

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


def adam_moments(adam: torch.optim.Adam, parameter: nn.Parameter) -> Iterator[tuple[str, torch.Tensor]]:
    """What Adam remembers of a parameter, by name, the tensors themselves; zeros where it has not moved it yet."""
    state = adam.state[parameter]
    if "step" not in state:
        state["step"] = torch.zeros((), device=parameter.device)
        state["exp_avg"] = torch.zeros_like(parameter)
        state["exp_avg_sq"] = torch.zeros_like(parameter)
    for moment in ("exp_avg", "exp_avg_sq", "step"):
        yield moment, state[moment]


def _adam(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Adam:
    return torch.optim.Adam(parameters, lr=recipe.learning_rate, betas=recipe.betas, eps=recipe.eps, fused=True)


def _update(adam: torch.optim.Adam, rate: float) -> None:
    adam.param_groups[0]["lr"] = rate
    adam.step()
    adam.zero_grad(set_to_none=True)
