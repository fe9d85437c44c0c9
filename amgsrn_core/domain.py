# SPDX-License-Identifier: BSD-3-Clause
"""Where a field lives: index, world and normalized coordinates of a volume, and how they relate.

This is the one place that knows axis order: arrays are [z, y, x], points are (x, y, z). Node i of an axis with n
nodes has the normalized coordinate -1 + 2 i / (n - 1), also on rectilinear axes, so that a field is always defined on
[-1, 1]^3 and resolution follows the nodes. World coordinates are piecewise linear in the index.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from .errors import InvalidDomain

# Coordinates stored as float32 deviate from an exact spacing by about 1e-7 of their magnitude.
_UNIFORM_TOLERANCE = 1e-4

# First and last node along (x, y, z), both included.
Extent = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Axis:
    """One spatial axis: the world coordinates of its nodes, ascending.

    Attributes:
        count: number of nodes, at least 2.
        origin: world coordinate of node 0.
        spacing: mean distance of neighbouring nodes, positive.
        coordinates: world coordinates of all nodes if they are not equally spaced, else None.
    """

    count: int
    origin: float
    spacing: float
    coordinates: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.count < 2:
            raise InvalidDomain(f"an axis has {self.count} node(s); a volume needs at least 2 along each axis")
        if not (np.isfinite(self.origin) and np.isfinite(self.spacing) and self.spacing > 0):
            raise InvalidDomain(
                f"an axis has origin {self.origin} and spacing {self.spacing}; they must be finite, spacing > 0"
            )
        if not np.isfinite(self.stop):
            raise InvalidDomain(
                f"an axis of {self.count} nodes from {self.origin}, {self.spacing} apart, ends beyond all numbers"
            )

    @classmethod
    def uniform(cls, count: int, origin: float = 0.0, spacing: float = 1.0) -> Axis:
        """An axis of `count` equally spaced nodes."""
        return cls(int(count), float(origin), float(spacing))

    @classmethod
    def rectilinear(cls, coordinates: np.ndarray | list[float]) -> Axis:
        """An axis from ascending node coordinates, shape (n,); equally spaced ones give a uniform axis.

        Raises:
            InvalidDomain: fewer than 2 nodes, not finite, or not strictly ascending.
        """
        nodes = np.asarray(coordinates, dtype=np.float64)
        if nodes.ndim != 1 or nodes.size < 2:
            raise InvalidDomain(f"axis coordinates have shape {nodes.shape}; expected (n,) with n >= 2")
        steps = np.diff(nodes)
        if not np.isfinite(nodes).all() or (steps <= 0).any():
            raise InvalidDomain("axis coordinates must be finite and strictly ascending")
        spacing = float((nodes[-1] - nodes[0]) / (nodes.size - 1))
        if np.abs(steps - spacing).max() <= _UNIFORM_TOLERANCE * spacing:
            return cls(nodes.size, float(nodes[0]), spacing)
        return cls(nodes.size, float(nodes[0]), spacing, tuple(nodes.tolist()))

    @property
    def is_uniform(self) -> bool:
        return self.coordinates is None

    @property
    def stop(self) -> float:
        """World coordinate of the last node."""
        return self.coordinates[-1] if self.coordinates is not None else self.origin + self.spacing * (self.count - 1)

    @property
    def smallest_spacing(self) -> float:
        """Smallest distance of neighbouring nodes, world units."""
        return self.spacing if self.coordinates is None else float(np.diff(self.coordinates).min())

    def nodes(self) -> np.ndarray:
        """World coordinates of the nodes, float64 (count,)."""
        if self.coordinates is not None:
            return np.asarray(self.coordinates)
        return self.origin + self.spacing * np.arange(self.count, dtype=np.float64)

    def normalize(self, world: np.ndarray) -> np.ndarray:
        """World -> normalized coordinates, any shape, float64; outside the axis the end intervals are extended."""
        return self._index_of(np.asarray(world, dtype=np.float64)) * (2.0 / (self.count - 1)) - 1.0

    def denormalize(self, normalized: np.ndarray) -> np.ndarray:
        """Normalized -> world coordinates, any shape, float64."""
        index = (np.asarray(normalized, dtype=np.float64) + 1.0) * (0.5 * (self.count - 1))
        if self.coordinates is None:
            return self.origin + self.spacing * index
        nodes = self.nodes()
        cell = np.clip(np.floor(index).astype(np.int64), 0, self.count - 2)
        return nodes[cell] + (index - cell) * (nodes[cell + 1] - nodes[cell])

    def _index_of(self, world: np.ndarray) -> np.ndarray:
        if self.coordinates is None:
            return (world - self.origin) / self.spacing
        nodes = self.nodes()
        cell = np.clip(np.searchsorted(nodes, world, side="right") - 1, 0, self.count - 2)
        return cell + (world - nodes[cell]) / (nodes[cell + 1] - nodes[cell])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description, inverse of `from_dict`."""
        if self.coordinates is not None:
            return {"coordinates": list(self.coordinates)}
        return {"count": self.count, "origin": self.origin, "spacing": self.spacing}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Axis:
        """Inverse of `to_dict`."""
        if "coordinates" in data:
            return cls.rectilinear(data["coordinates"])
        return cls(int(data["count"]), float(data["origin"]), float(data["spacing"]))

    def part(self, first: int, last: int) -> Axis:
        """The axis of the nodes `first` to `last`, both included.

        Raises:
            InvalidDomain: fewer than 2 of them.
        """
        if self.coordinates is not None and last > first:
            return Axis.rectilinear(list(self.coordinates[first : last + 1]))
        return Axis.uniform(last - first + 1, self.origin + self.spacing * first, self.spacing)


@dataclass(frozen=True)
class Domain:
    """The box a field lives in, and when.

    Attributes:
        axes: x, y and z.
        units: of each axis.
        time: of the data, if it has one; of a series, the time of the present step.
        time_units: of it.
        times: of all steps of a series, ascending; else empty.
    """

    axes: tuple[Axis, Axis, Axis]
    units: tuple[str, str, str] = ("", "", "")
    time: float | None = None
    time_units: str = ""
    times: tuple[float, ...] = ()

    @property
    def dimensions(self) -> tuple[int, int, int]:
        """Number of nodes (nx, ny, nz)."""
        return (self.axes[0].count, self.axes[1].count, self.axes[2].count)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of an array of all nodes: (nz, ny, nx)."""
        nx, ny, nz = self.dimensions
        return (nz, ny, nx)

    @property
    def bounds(self) -> tuple[float, float, float, float, float, float]:
        """World bounds (xmin, xmax, ymin, ymax, zmin, zmax)."""
        x, y, z = self.axes
        return (x.origin, x.stop, y.origin, y.stop, z.origin, z.stop)

    @property
    def is_uniform(self) -> bool:
        return all(axis.is_uniform for axis in self.axes)

    @property
    def smallest_spacing(self) -> float:
        """Smallest distance of neighbouring nodes along any axis, world units."""
        return min(axis.smallest_spacing for axis in self.axes)

    def part(self, extent: Extent) -> Domain:
        """The domain of a part of the nodes.

        Raises:
            InvalidDomain: fewer than 2 nodes along an axis.
        """
        x, y, z = (axis.part(first, last) for axis, (first, last) in zip(self.axes, extent, strict=True))
        return replace(self, axes=(x, y, z))

    def world_to_normalized(self, points: torch.Tensor) -> torch.Tensor:
        """World (n, 3) -> normalized (n, 3), same device and dtype."""
        if self.is_uniform:
            scale, shift = self._affine(points)
            return points * scale + shift
        columns = [_piecewise(points[:, k], axis.nodes()) for k, axis in enumerate(self.axes)]
        return torch.stack(columns, dim=1)

    def box_to_normalized(self, points: torch.Tensor) -> torch.Tensor:
        """Box coordinates (n, 3) -> normalized (n, 3).

        Box coordinates are affine in world coordinates and span [-1, 1]^3 over `bounds`: what a ray marcher steps in,
        free of the round-off that large world coordinates have in float32. On uniform axes they are the normalized
        coordinates.
        """
        if self.is_uniform:
            return points
        columns = []
        for k, axis in enumerate(self.axes):
            if axis.is_uniform:
                columns.append(points[:, k])
            else:
                nodes = 2.0 * (axis.nodes() - axis.origin) / (axis.stop - axis.origin) - 1.0
                columns.append(_piecewise(points[:, k], nodes))
        return torch.stack(columns, dim=1)

    def normalized_to_world(self, points: torch.Tensor) -> torch.Tensor:
        """Normalized (n, 3) -> world (n, 3), same device and dtype."""
        columns = [torch.from_numpy(axis.denormalize(points[:, k].cpu().numpy())) for k, axis in enumerate(self.axes)]
        return torch.stack(columns, dim=1).to(points)

    def _affine(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scale = [2.0 / (axis.spacing * (axis.count - 1)) for axis in self.axes]
        shift = [-1.0 - axis.origin * s for axis, s in zip(self.axes, scale, strict=True)]
        return torch.tensor(scale, dtype=torch.float64).to(like), torch.tensor(shift, dtype=torch.float64).to(like)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description, inverse of `from_dict`."""
        description = {
            "axes": {name: axis.to_dict() for name, axis in zip("xyz", self.axes, strict=True)},
            "units": list(self.units),
            "time": self.time,
            "time_units": self.time_units,
        }
        return {**description, "times": list(self.times)} if self.times else description

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Domain:
        """Inverse of `to_dict`.

        Raises:
            InvalidDomain: entries that do not describe a volume.
        """
        try:
            x, y, z = (Axis.from_dict(data["axes"][name]) for name in "xyz")
            ux, uy, uz = (str(u) for u in data["units"])
            time = None if data.get("time") is None else float(data["time"])
            times = tuple(float(value) for value in data.get("times", ()))
            return cls((x, y, z), (ux, uy, uz), time, str(data.get("time_units", "")), times)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InvalidDomain(f"unreadable domain ({error!r})") from error


def _piecewise(values: torch.Tensor, node_coordinates: np.ndarray) -> torch.Tensor:
    """Normalized coordinates (n,) of coordinates (n,) along an axis with ascending nodes, on the tensor's device."""
    nodes = torch.as_tensor(node_coordinates, dtype=torch.float64, device=values.device)
    position = values.double().contiguous()
    cell = (torch.searchsorted(nodes, position, right=True) - 1).clamp(0, len(nodes) - 2)
    index = cell + (position - nodes[cell]) / (nodes[cell + 1] - nodes[cell])
    return (index * (2.0 / (len(nodes) - 1)) - 1.0).to(values)
