# SPDX-License-Identifier: BSD-3-Clause
"""The one interface that everything else is built on: a field gives values at points of a domain."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any

import torch

from .domain import Domain

# (lowest, highest) of each component.
Ranges = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class ArrayInfo:
    """What a field's values are.

    Attributes:
        name: of the array.
        units: of all components; empty where they differ.
        value_range: (lowest, highest) value that the data had when the field was fitted, over all components.
        components: values per point.
        component_names: one each where there are several, else empty.
        component_ranges: (lowest, highest) of each where there are several, else empty.
    """

    name: str
    units: str = ""
    value_range: tuple[float, float] = (0.0, 1.0)
    components: int = 1
    component_names: tuple[str, ...] = ()
    component_ranges: Ranges = ()

    @property
    def ranges(self) -> Ranges:
        """(lowest, highest) of every component."""
        return self.component_ranges or (self.value_range,) * self.components

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description, inverse of `from_dict`."""
        description = asdict(self)
        if self.components == 1:
            del description["component_names"], description["component_ranges"]
        return description

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ArrayInfo:
        """Inverse of `to_dict`.

        Raises:
            ValueError, KeyError, TypeError: entries that do not describe an array.
        """
        low, high = data["value_range"]
        components = int(data["components"])
        names = tuple(str(name) for name in data.get("component_names", ()))
        ranges = tuple((float(first), float(last)) for first, last in data.get("component_ranges", ()))
        if components < 1 or len(names) not in (0, components) or len(ranges) not in (0, components):
            raise ValueError(f"{components} components, {len(names)} names, {len(ranges)} ranges")
        if not all(math.isfinite(end) for ends in ((float(low), float(high)), *ranges) for end in ends):
            raise ValueError("a value range that is not finite")
        return cls(str(data["name"]), str(data["units"]), (float(low), float(high)), components, names, ranges)


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

    @property
    def has_gaps(self) -> bool:
        """Whether there are places with no value, where `sample` gives not-a-number."""
        return False

    @abstractmethod
    def sample(self, points: torch.Tensor) -> torch.Tensor:
        """Values at points.

        Args:
            points: float32 (n, 3), normalized coordinates (x, y, z), on `device`. Outside [-1, 1]^3 the result is
                defined but means nothing.

        Returns:
            float32 (n, components) in data units, not-a-number in all components where there is nothing; no gradient is
            recorded.
        """

    def sample_for_display(self, points: torch.Tensor) -> torch.Tensor:
        """The same, as exactly as a picture needs it: right to some thousandths of the value range, where that is
        faster."""
        return self.sample(points)

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
