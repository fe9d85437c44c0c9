# SPDX-License-Identifier: BSD-3-Clause
"""What an ensemble's kernels work on: a network per brick, with what makes data units of its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch


class Member:
    """One brick's network, or its constant values. Back ends keep here what they have made of it.

    Args:
        transforms, grids, weights, biases: a network as `reference.forward` takes it; without `grids`, a constant.
        scale, shift: float32 (outputs,): values are scale * output + shift; those of a constant are `shift`, not a
            number if they are missing.

    All tensors belong to the member from now on: a back end may change how they lie in memory.
    """

    def __init__(
        self,
        scale: torch.Tensor,
        shift: torch.Tensor,
        transforms: torch.Tensor | None = None,
        grids: torch.Tensor | None = None,
        weights: Sequence[torch.Tensor] = (),
        biases: Sequence[torch.Tensor] | None = None,
    ) -> None:
        self.scale, self.shift = scale.detach(), shift.detach()
        self.network = None
        if transforms is not None and grids is not None:
            self.network = (
                transforms.detach(),
                grids.detach(),
                [w.detach() for w in weights],
                None if biases is None else [b.detach() for b in biases],
            )
        self.prepared: object = None

    @property
    def outputs(self) -> int:
        """Values per point."""
        return len(self.shift)

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        return self.shift.device

    def tensors(self) -> list[torch.Tensor]:
        """All of them."""
        if self.network is None:
            return [self.scale, self.shift]
        transforms, grids, weights, biases = self.network
        return [self.scale, self.shift, transforms, grids, *weights, *(biases or ())]

    @property
    def bytes(self) -> int:
        """Memory that it needs, ready to be evaluated by any back end."""
        if self.network is None:
            return 0
        _, grids, weights, biases = self.network
        m, c, depth, height, width = grids.shape
        # With the ring of zeros that the compiled kernels put around each grid; the MLP a second time in bfloat16.
        numbers = m * c * (depth + 2) * (height + 2) * (width + 2) + 16 * m
        return 4 * numbers + 6 * sum(t.numel() for t in (*weights, *(biases or ())))


Members = Sequence[Member | None]


class EnsembleEvaluator(Protocol):
    """An ensemble ready for inference, in bounded memory. A member that is None is not there: it adds nothing."""

    def __call__(self, points: torch.Tensor, fast: bool = False) -> torch.Tensor:
        """Values float32 (n, outputs), in data units, at float32 points (n, 3) of the whole volume. `fast`: see
        `Evaluator`."""

    def value_and_gradient(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The values, and their gradients (n, outputs, 3) per unit of x, y, z of the whole volume."""

    def partial(self, points: torch.Tensor, fast: bool = False) -> torch.Tensor:
        """The values, float64: those of ensembles with other members of the same partition can be added to them, and
        rounded to float32 are the values of the whole, in whichever order."""

    def partial_value_and_gradient(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The values and their gradients, float64, likewise."""

    def touched(self, points: torch.Tensor) -> list[int]:
        """The bricks that take part in the values at the points, ascending, whether they are there or not."""
