# SPDX-License-Identifier: BSD-3-Clause
"""What all optimisers have in common: one training step at a time, and a state that can be saved after any of them and
continued exactly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from amgsrn_core.models import AMGSRN


class Optimiser(ABC):
    """Trains a network step by step.

    Attributes:
        network: the network.
        steps: number of steps at most; 0 where only time limits them.
    """

    def __init__(self, network: AMGSRN, steps: int) -> None:
        self.network = network
        self.steps = steps

    @abstractmethod
    def step(self, step: int, fraction: float, points: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Learn from a batch.

        Args:
            step: number of steps done before.
            fraction: the part of the run that is done, in [0, 1); learning rates fall with it.
            points: (n, 3).
            targets: (n, c) in units of each component's range.

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
        """Adam's running moments: (parameter's name, moment's name, tensor), the tensors themselves."""
        for name, parameter in self.network.named_parameters():
            for moment, tensor in self._moments_of(parameter).items():
                yield name, moment, tensor

    @abstractmethod
    def _moments_of(self, parameter: nn.Parameter) -> dict[str, torch.Tensor]:
        """Of one parameter: `exp_avg`, `exp_avg_sq`, `step`; zeros if it has not been optimised yet."""
