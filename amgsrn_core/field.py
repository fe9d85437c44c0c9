# SPDX-License-Identifier: BSD-3-Clause
"""The one interface that everything else is built on: a field gives values at points of a domain."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any

import torch

from .domain import Domain


@dataclass(frozen=True)
class ArrayInfo:
    """What a field's values are: array name, units, and the range (lo, hi) that the data had when it was fitted."""

    name: str
    units: str = ""
    value_range: tuple[float, float] = (0.0, 1.0)
    components: int = 1

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description, inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ArrayInfo:
        """Inverse of `to_dict`."""
        low, high = data["value_range"]
        return cls(str(data["name"]), str(data["units"]), (float(low), float(high)), int(data["components"]))


class Field(ABC):
    """Values at points of a domain. A subclass needs nothing but these attributes and `sample`.

    Attributes:
        domain: where the field lives.
        array: what its values are.
    """

    domain: Domain
    array: ArrayInfo

    @property
    def device(self) -> torch.device:
        """Where `sample` expects its points."""
        return torch.device("cpu")

    @property
    def is_threaded(self) -> bool:
        """Whether `sample` shares its work among the cores by itself, so that PyTorch need not do so around it."""
        return False

    @abstractmethod
    def sample(self, points: torch.Tensor) -> torch.Tensor:
        """Values at points.

        Args:
            points: float32 (n, 3), normalized coordinates (x, y, z), on `device`. Outside [-1, 1]^3 the result is
                defined but means nothing.

        Returns:
            float32 (n, components) in data units; no gradient is recorded.
        """

    def sample_with_gradient(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Values at points and how they change from there, for shading.

        Unless a subclass knows better, gradients are central differences over one voxel of the domain, at its faces
        one-sided ones over half a voxel.

        Args:
            points: as for `sample`.

        Returns:
            Values float32 (n, components) in data units, and gradients float32 (n, components, 3) in data units per
            unit of normalized x, y, z; no gradient is recorded.
        """
        centre = points.clamp(-1.0, 1.0)
        gradients = []
        for axis, nodes in enumerate(self.domain.dimensions):
            lower, upper = centre.clone(), centre.clone()
            lower[:, axis] = (lower[:, axis] - 1.0 / (nodes - 1)).clamp_min(-1.0)
            upper[:, axis] = (upper[:, axis] + 1.0 / (nodes - 1)).clamp_max(1.0)
            distance = (upper[:, axis] - lower[:, axis]).unsqueeze(1)
            gradients.append((self.sample(upper) - self.sample(lower)) / distance)
        return self.sample(points), torch.stack(gradients, dim=2)
