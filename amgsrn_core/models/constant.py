# SPDX-License-Identifier: BSD-3-Clause
"""A field with the same values everywhere, or with none: what a brick is in which there is nothing to learn."""

from __future__ import annotations

import torch

from ..domain import Domain
from ..field import ArrayInfo, Field


class ConstantField(Field):
    """The same everywhere.

    Attributes:
        values: one per component, in data units; None where there is nothing.
    """

    def __init__(
        self, values: tuple[float, ...] | None, domain: Domain, array: ArrayInfo, device: torch.device | None = None
    ) -> None:
        self.values = values
        self.domain = domain
        self.array = array
        row = (float("nan"),) * array.components if values is None else values
        self._row = torch.tensor(row, dtype=torch.float32, device=device)

    @property
    def device(self) -> torch.device:
        return self._row.device

    @property
    def has_gaps(self) -> bool:
        return self.values is None

    def sample(self, points: torch.Tensor) -> torch.Tensor:
        return self._row.repeat(len(points), 1)

    def sample_with_gradient(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.sample(points), torch.zeros(len(points), len(self._row), 3, device=self.device)
