# SPDX-License-Identifier: BSD-3-Clause
"""How a volume is cut into bricks, one network each: pure geometry.

Source: Wurster et al., "Adaptively Placed Multi-Grid Scene Representation Networks for Large-Scale Data
Visualization", section 5.1 (partition) and 5.3 (which network answers for a point). With an overlap of zero this is
the paper's rule; with an overlap, networks take over from each other gradually, so that the field is continuous.

Along an axis of N nodes the volume is cut at edges 0 = e_0 < e_1 < ... < e_I = N - 1, in units of nodes. A brick has

- a core, [e_i, e_(i+1)]: the points that it owns;
- an extent, the whole nodes about its core grown by the overlap w across inner faces: what its network is fitted to.
  The network's own [-1, 1]^3 spans the extent from its first to its last node;
- a weight, 1 in the core but for a distance w to inner faces; from e - w to e + w a brick's weight falls to 0, smoothly,
  while its neighbour's rises to 1. In three dimensions weights are products over the axes. At each point the weights of
  all bricks sum to one, and none is used outside its extent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from .errors import InvalidPartition

Span = tuple[float, float]
NodeRange = tuple[int, int]


@dataclass(frozen=True)
class Partition:
    """A volume cut into I x J x K bricks. Brick k = x + I (y + J z) is the x-th along x, and so on.

    Attributes:
        dimensions: nodes of the volume, (nx, ny, nz).
        edges: positions of the cuts along x, y, z, in units of nodes; they may lie between nodes.
        overlap: along each axis, how far a brick is used beyond its core, in nodes; 0: not at all.

    Raises:
        InvalidPartition: fewer than 2 nodes along an axis; edges that are not finite, do not ascend or do not span the
            volume; an overlap that is negative or so large that three bricks would meet along an axis.
    """

    dimensions: tuple[int, int, int]
    edges: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]
    overlap: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if not len(self.dimensions) == len(self.edges) == len(self.overlap) == 3:
            raise InvalidPartition("a partition needs dimensions, edges and overlap along x, y and z")
        for name, nodes, edges, overlap in zip("xyz", self.dimensions, self.edges, self.overlap, strict=True):
            _check_axis(name, nodes, edges, overlap)

    @classmethod
    def equal_split(
        cls, dimensions: Sequence[int], bricks: Sequence[int], overlap: float | Sequence[float] = 0.0
    ) -> Partition:
        """The paper's partition: bricks (I, J, K) of equal size, with edges at i (N - 1) / I.

        Raises:
            InvalidPartition: see above; also fewer than one brick, or more than one per cell, along an axis.
        """
        if len(dimensions) != 3 or len(bricks) != 3:
            raise InvalidPartition(f"{tuple(bricks)} bricks of {tuple(dimensions)} nodes: give x, y and z of each")
        for name, nodes, count in zip("xyz", dimensions, bricks, strict=True):
            if not 1 <= count <= max(1, nodes - 1):
                raise InvalidPartition(f"{count} bricks along {name} are not possible with {nodes} nodes")
        edges = [
            tuple(i * (nodes - 1) / count for i in range(count + 1))
            for nodes, count in zip(dimensions, bricks, strict=True)
        ]
        return cls.from_dict({"edges": edges, "overlap": overlap}, dimensions)

    @property
    def bricks(self) -> tuple[int, int, int]:
        """Number of bricks along x, y, z: (I, J, K)."""
        x, y, z = (len(edges) - 1 for edges in self.edges)
        return (x, y, z)

    @property
    def count(self) -> int:
        """Number of bricks in all."""
        return math.prod(self.bricks)

    def position(self, brick: int) -> tuple[int, int, int]:
        """Which brick it is along x, y and z."""
        nx, ny, _ = self.bricks
        if not 0 <= brick < self.count:
            raise IndexError(f"brick {brick} of {self.count}")
        return (brick % nx, brick // nx % ny, brick // (nx * ny))

    def core(self, brick: int) -> tuple[Span, Span, Span]:
        """First and last position along x, y, z, in units of nodes, of the points that a brick owns."""
        x, y, z = (e[i : i + 2] for e, i in zip(self.edges, self.position(brick), strict=True))
        return ((x[0], x[1]), (y[0], y[1]), (z[0], z[1]))

    def extent(self, brick: int) -> tuple[NodeRange, NodeRange, NodeRange]:
        """First and last node along x, y, z, both included, of the part of the volume a brick's network is fitted to."""
        x, y, z = (self.axis_extents(axis)[i] for axis, i in enumerate(self.position(brick)))
        return (x, y, z)

    def axis_extents(self, axis: int) -> list[NodeRange]:
        """First and last node along one axis of the bricks along it."""
        nodes, overlap = self.dimensions[axis], self.overlap[axis]
        return [
            (max(0, math.floor(low - overlap)), min(nodes - 1, math.ceil(high + overlap)))
            for low, high in pairwise(self.edges[axis])
        ]

    def axis_maps(self, axis: int) -> list[tuple[float, float]]:
        """Scale and shift that take a normalized coordinate of the volume along one axis to each brick's own."""
        last = self.dimensions[axis] - 1
        return [(last / (b - a), (last - a - b) / (b - a)) for a, b in self.axis_extents(axis)]

    def blend_starts(self, axis: int) -> list[float]:
        """Normalized coordinates along one axis at which the second, third, ... brick's weight begins to rise."""
        scale, overlap = 2.0 / (self.dimensions[axis] - 1), self.overlap[axis]
        return [(edge - overlap) * scale - 1.0 for edge in self.edges[axis][1:-1]]

    def blend_width(self, axis: int) -> float:
        """How far along one axis, in normalized coordinates, it is from there to the weight 1."""
        return 4.0 * self.overlap[axis] / (self.dimensions[axis] - 1)

    def owners(self, points: torch.Tensor) -> torch.Tensor:
        """The brick in whose core each point (n, 3), normalized, lies: int64 (n,).

        A point on an inner edge belongs to the upper brick, one outside the volume to the nearest brick along each
        axis (the paper's clamped index).
        """
        owner = torch.zeros(len(points), dtype=torch.int64, device=points.device)
        for axis in (2, 1, 0):
            inner = [2.0 * edge / (self.dimensions[axis] - 1) - 1.0 for edge in self.edges[axis][1:-1]]
            edges = torch.tensor(inner, dtype=torch.float64, device=points.device)
            index = torch.searchsorted(edges, points[:, axis].detach().double().contiguous(), right=True)
            owner = owner * self.bricks[axis] + index
        return owner

    def weights(self, points: torch.Tensor, brick: int) -> torch.Tensor:
        """Weight (n,) of a brick at points (n, 3), normalized; differentiable, with a continuous derivative."""
        weight = torch.ones_like(points[:, 0])
        for axis, i in enumerate(self.position(brick)):
            starts, width = self.blend_starts(axis), self.blend_width(axis)
            if i > 0:
                weight = weight * _rise(points[:, axis], starts[i - 1], width)
            if i < len(starts):
                weight = weight * (1.0 - _rise(points[:, axis], starts[i], width))
        return weight

    def to_local(self, points: torch.Tensor, brick: int) -> torch.Tensor:
        """Points (n, 3), normalized, in a brick's own normalized coordinates, (n, 3)."""
        maps = [self.axis_maps(axis)[i] for axis, i in enumerate(self.position(brick))]
        scale, shift = torch.tensor(maps, dtype=torch.float64, device=points.device).unbind(1)
        return (points.double() * scale + shift).to(points.dtype)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description of all but the dimensions, inverse of `from_dict`."""
        return {
            "bricks": list(self.bricks),
            "edges": [list(edges) for edges in self.edges],
            "overlap": list(self.overlap),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], dimensions: Sequence[int]) -> Partition:
        """Inverse of `to_dict` for a volume of (nx, ny, nz) nodes.

        Raises:
            InvalidPartition: entries that do not describe a partition of such a volume.
        """
        try:
            nx, ny, nz = (int(n) for n in dimensions)
            x, y, z = (tuple(float(e) for e in edges) for edges in data["edges"])
            widths = data["overlap"]
            wx, wy, wz = (float(w) for w in (widths if isinstance(widths, Sequence) else (widths,) * 3))
            bricks = tuple(int(n) for n in data.get("bricks", (len(x) - 1, len(y) - 1, len(z) - 1)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidPartition(f"unreadable partition ({error!r})") from error
        partition = cls((nx, ny, nz), (x, y, z), (wx, wy, wz))
        if partition.bricks != bricks:
            raise InvalidPartition(f"a partition into {bricks} bricks has edges for {partition.bricks}")
        return partition


def _check_axis(name: str, nodes: int, edges: tuple[float, ...], overlap: float) -> None:
    if nodes < 2:
        raise InvalidPartition(f"{nodes} node(s) along {name}; a volume needs at least 2 along each axis")
    if len(edges) < 2 or not all(a < b for a, b in pairwise(edges)) or edges[0] != 0 or edges[-1] != nodes - 1:
        raise InvalidPartition(f"edges along {name} must ascend from 0 to {nodes - 1}, not {_few(edges)}")
    if not 0 <= overlap < math.inf:
        raise InvalidPartition(f"an overlap of {overlap} nodes along {name} is not possible; it must be 0 or more")
    narrowest = min(b - a for a, b in pairwise(edges))
    if len(edges) > 2 and 2 * overlap > narrowest:
        raise InvalidPartition(
            f"an overlap of {overlap:g} nodes along {name} is too large for bricks of {narrowest:g} nodes; "
            "it may be half of that"
        )


def _few(edges: tuple[float, ...]) -> str:
    texts = [f"{edge:g}" for edge in edges]
    return ", ".join(texts if len(texts) <= 6 else [*texts[:3], "...", *texts[-2:]]) or "nothing"


def _rise(coordinate: torch.Tensor, start: float, width: float) -> torch.Tensor:
    """From 0 at `start` to 1 at `start + width`, as 3 t^2 - 2 t^3; a step where there is no width."""
    if width == 0:
        return (coordinate.double() >= start).to(coordinate.dtype)
    share = ((coordinate.double() - start) / width).clamp(0.0, 1.0)
    return (share * share * (3.0 - 2.0 * share)).to(coordinate.dtype)
