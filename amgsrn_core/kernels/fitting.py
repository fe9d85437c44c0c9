# SPDX-License-Identifier: BSD-3-Clause
"""Training state: what is learned, what Adam keeps of it, and one step that changes both.

`TorchFit` is the readable twin, on any device; `cpu_fit.CpuFit` does the same in one call of the compiled kernels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

Loss = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class Learned:
    """The parameters of a network, leaves that the fit changes in place.

    Attributes:
        form: how transforms are learned, 'matrix' or 'srt'.
        placement: of 'matrix': matrices (m, 4, 4); of 'srt': log-scales (m, 3), quaternions (m, 4) as x, y, z, w,
            translations (m, 3).
        transforms: makes transforms (m, 4, 4) of `placement`, differentiably.
        grids: (m, c, d, h, w).
        weights: per layer (out, in).
        biases: per layer (out,), or None.
    """

    form: str
    placement: list[torch.Tensor]
    transforms: Callable[[], torch.Tensor]
    grids: torch.Tensor
    weights: list[torch.Tensor]
    biases: list[torch.Tensor] | None

    def mlp(self) -> list[torch.Tensor]:
        """Weights, then biases."""
        return [*self.weights, *(self.biases or ())]

    def all(self) -> list[torch.Tensor]:
        """Every parameter."""
        return [self.grids, *self.mlp(), *self.placement]


@dataclass(frozen=True)
class AdamSettings:
    """Of Adam (Kingma and Ba, 2015): decay of the first and second moments, and the number that keeps it from dividing
    by zero."""

    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 1e-14


@dataclass(frozen=True)
class Rates:
    """Learning rates of one step. A placement rate of 0 leaves the transforms alone."""

    features: float
    mlp: float
    placement: float


class FitState(ABC):
    """What is learned and Adam's moments of it."""

    @abstractmethod
    def step(self, points: torch.Tensor, targets: torch.Tensor, rates: Rates) -> torch.Tensor:
        """Learn from a batch.

        Args:
            points: float32 (n, 3), n >= 1.
            targets: float32 (n, outputs), in units of the value range.
            rates: learning rates.

        Returns:
            The mean squared error before the step, a scalar tensor without gradient.
        """

    @abstractmethod
    def moments(self, parameter: torch.Tensor) -> dict[str, torch.Tensor]:
        """Adam's state of a parameter, the tensors themselves: `exp_avg` and `exp_avg_sq` in the parameter's shape, and
        `step`, the number of its updates, a scalar."""


class TorchFit(FitState):
    """Autograd and PyTorch's Adam.

    Args:
        learned: the parameters.
        adam: settings.
        loss: `mean_squared_error` of a back end.
    """

    def __init__(self, learned: Learned, adam: AdamSettings, loss: Loss) -> None:
        self._learned, self._loss = learned, loss
        self._groups = [
            torch.optim.Adam(parameters, lr=0.0, betas=adam.betas, eps=adam.eps, fused=True)
            for parameters in ([learned.grids], learned.mlp(), learned.placement)
        ]

    def step(self, points: torch.Tensor, targets: torch.Tensor, rates: Rates) -> torch.Tensor:
        learned = self._learned
        transforms = learned.transforms()
        if rates.placement == 0:
            transforms = transforms.detach()
        loss = self._loss(points, targets, transforms, learned.grids, learned.weights, learned.biases)
        loss.backward()
        features, mlp, placement = self._groups
        update(features, rates.features)
        update(mlp, rates.mlp)
        if rates.placement > 0:
            update(placement, rates.placement)
        return loss.detach()

    def moments(self, parameter: torch.Tensor) -> dict[str, torch.Tensor]:
        return moments_of(self._groups, parameter)


def moments_of(adams: Iterable[torch.optim.Adam], parameter: torch.Tensor) -> dict[str, torch.Tensor]:
    """What the Adam that a parameter belongs to remembers of it, the tensors themselves: `exp_avg`, `exp_avg_sq` and
    `step`; zeros where it has not moved it yet."""
    owner = next(adam for adam in adams if any(p is parameter for p in adam.param_groups[0]["params"]))
    state = owner.state[parameter]
    if "step" not in state:
        state["step"] = torch.zeros((), device=parameter.device)
        state["exp_avg"] = torch.zeros_like(parameter)
        state["exp_avg_sq"] = torch.zeros_like(parameter)
    return {name: state[name] for name in ("exp_avg", "exp_avg_sq", "step")}


def update(adam: torch.optim.Adam, rate: float) -> None:
    """One step of Adam with a learning rate, after which there are no gradients."""
    adam.param_groups[0]["lr"] = rate
    adam.step()
    adam.zero_grad(set_to_none=True)
